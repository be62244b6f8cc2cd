"""A server at a real port, in a thread."""

import socket
import threading
import time

import httpx

from headstart.serving.app import Application
from headstart.serving.http_server import HttpServer, address_of, open_port
from headstart.serving.settings import ServeSettings


class Running:
    """A server in a thread."""

    def __init__(self, folders, **settings):
        self.application = Application(folders, ServeSettings(access_log=False, port=0, **settings))
        self.server = HttpServer(self.application)
        self.port = open_port("127.0.0.1", 0)
        self.address = address_of(self.port)
        self.thread = threading.Thread(target=self.server.run, args=([self.port],), daemon=True)
        self.thread.start()
        self.http = httpx.Client(base_url=self.address, timeout=600)
        wait_for(lambda: self.server.started and self.http.get("/ready").status_code == 200)

    def signal(self):
        self.server.handle_exit(15, None)

    def connect(self):
        return socket.create_connection(self.port_address)

    @property
    def port_address(self):
        host, _, port = self.address.removeprefix("http://").partition(":")
        return host, int(port)

    def end(self):
        self.server.force_exit = self.server.should_exit = True
        self.thread.join(600)
        self.http.close()


def wait_for(condition, seconds=600.0):
    """Until something holds, that a thread of the server brings about."""
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come about")
