"""Files of requests that a server keeps and answers."""
