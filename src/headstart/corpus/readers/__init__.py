"""Readers: files of every kind to raw records."""
