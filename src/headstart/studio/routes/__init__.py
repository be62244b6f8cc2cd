"""The studio's API, a file a view."""
