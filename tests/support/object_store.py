"""A small server that speaks as much of S3's protocol as bundles need: put, get, head, delete, list; without keys."""

from __future__ import annotations

import re
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class ObjectServer:
    """Objects in memory, at an address on loopback; it can be stopped and started again at the same port."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}  # by path: /bucket/name
        self.port = 0
        self.start()

    @property
    def environment(self) -> dict[str, str]:
        """What leads clients here."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "test-1",
        }

    def start(self) -> None:
        objects = self.objects

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self, status: int, body: bytes = b"", size: int | None = None) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) if size is None else size))
                self.send_header("Last-Modified", formatdate(1_790_000_000, usegmt=True))
                self.send_header("ETag", '"0"')
                self.end_headers()
                self.wfile.write(body)

            def _path(self) -> str:
                return unquote(urlsplit(self.path).path)

            def do_PUT(self) -> None:
                objects[self._path()] = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(200)

            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                if "list-type" in query:
                    start = self._path().rstrip("/") + "/" + query.get("prefix", [""])[0]
                    bucket = self._path().rstrip("/") + "/"
                    found = "".join(
                        f"<Contents><Key>{escape(path.removeprefix(bucket))}</Key><Size>{len(data)}</Size>"
                        f"<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>0</ETag></Contents>"
                        for path, data in sorted(objects.items())
                        if path.startswith(start)
                    )
                    body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
                    self._answer(200, body.encode())
                elif self._path() in objects:
                    self._answer(200, objects[self._path()])
                else:
                    self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

            def do_HEAD(self) -> None:
                found = objects.get(self._path())
                self._answer(404 if found is None else 200, size=0 if found is None else len(found))

            def do_POST(self) -> None:
                """Delete the objects that the body names."""
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                keys = re.findall("<Key>(.*?)</Key>", body)
                for key in keys:
                    objects.pop(f"{self._path().rstrip('/')}/{key}", None)
                deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
                self._answer(200, f"<DeleteResult>{deleted}</DeleteResult>".encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
