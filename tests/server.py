"""A local HTTP server that breaks off, lies or refuses ranges, as a test asks it to."""

import http.server
import io
import tarfile


class Server(http.server.ThreadingHTTPServer):
    """Serves files from memory; `breaks` gives the number of bytes of each of the next answers."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.breaks, self.ranges, self.asked = {}, [], True, []
        self.says_length = True
        self.address = f"http://127.0.0.1:{self.server_port}/sets"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        name = self.path.removeprefix("/sets/")
        server.asked.append((name, asked))
        content = server.files.get(name)
        if content is None:
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if start >= len(content) and start and server.ranges:
            self.send_error(416)
            return
        if asked and server.ranges:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            content = content[start:]
        else:
            self.send_response(200)
        if server.says_length:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        n_bytes = server.breaks.pop(0) if server.breaks else len(content)
        self.wfile.write(content[:n_bytes])

    def log_message(self, *words):
        pass


def archive(members):
    """Return a tar.gz of (name, content) pairs; content may be a tarfile.TarInfo instead."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members:
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()
