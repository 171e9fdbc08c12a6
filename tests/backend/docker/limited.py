"""A registry that has had enough: REGISTRY as it is, but for its first COUNT manifests, which are answered with 429.

limited.py REGISTRY COUNT    prints the port that it listens on
"""

import http.server
import sys
import urllib.error
import urllib.request

registry, left = sys.argv[1], int(sys.argv[2])
LIMIT = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}'


class Front(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global left
        if "/manifests/" in self.path and left > 0:
            left -= 1
            self.answer(429, {"Content-Type": "application/json", "Retry-After": "1"}, LIMIT)
            return
        request = urllib.request.Request(f"http://{registry}{self.path}", method=self.command)
        for accepted in self.headers.get_all("Accept", []):
            request.add_header("Accept", ", ".join(filter(None, [request.get_header("Accept"), accepted])))
        try:
            answer = urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            answer = error
        kept = {name: answer.headers[name] for name in ("Content-Type", "Docker-Content-Digest") if name in answer.headers}
        self.answer(answer.status, kept, answer.read())

    do_HEAD = do_GET

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Front)
print(server.server_address[1], flush=True)
server.serve_forever()
