"""What came before the Transformer: word2vec, GloVe, ELMo; and the counted start."""
