"""The server of the browser studio: files, events, jobs and one worker for models. It never imports torch."""
