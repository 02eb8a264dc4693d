"""A WebSocket server of one answer: the bytes of a file to every client, as fast as it takes them. Standard library.

    python -I sender.py WIRE

WIRE: WebSocket frames, ready to be sent. Prints {"version": "", "port": ...}; ends when stdin does.
"""

import base64
import hashlib
import json
import socket
import sys
import threading

ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def serve(listening, wire):
    while True:
        client, _ = listening.accept()
        try:
            with client:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += client.recv(65_536)
                lines = (line.partition(b":") for line in request.split(b"\r\n"))
                key = next(value.strip() for name, _, value in lines if name.lower() == b"sec-websocket-key")
                accept = base64.b64encode(hashlib.sha1(key + ACCEPT).digest())
                client.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
                )
                client.sendall(wire)
                client.shutdown(socket.SHUT_WR)  # a client waits for the server to end first
                while client.recv(65_536):
                    pass
        except OSError:
            pass  # a client that went away in the middle; the next one gets everything again


def main(path):
    with open(path, "rb") as file:
        wire = file.read()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(json.dumps({"version": "", "port": listening.getsockname()[1]}), flush=True)
        threading.Thread(target=serve, args=(listening, wire), daemon=True).start()
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
