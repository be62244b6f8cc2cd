"""What a model has to beat: word counts, word vectors, the labels' own noise."""
