"""A slow link: ``python rpc_relay.py HOST PORT BYTES_PER_SECOND`` prints its own port and passes bytes on.

It is a process of its own, since TVM's client may hold the interpreter's lock while it waits.
"""

import socket
import sys
import threading
import time


def copy(source: socket.socket, target: socket.socket, bytes_per_second: float) -> None:
    try:
        while piece := source.recv(4096):
            time.sleep(len(piece) / bytes_per_second)
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        target.close()


def main(host: str, port: str, bytes_per_second: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        near, far = listener.accept()[0], socket.create_connection((host, int(port)))
        for pair in ((near, far), (far, near)):
            threading.Thread(target=copy, args=(*pair, float(bytes_per_second)), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
