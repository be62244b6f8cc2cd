"""The main job: from a raw crawl to a report on what pre-training was worth."""
