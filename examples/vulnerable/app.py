"""A shop's page that builds its SQL from strings. It is wrong on purpose: don't copy from it.

    python app.py postgres://app:app@127.0.0.1:6432/demo [PORT]

Prints `listening on PORT` when it is ready.
"""

import html
import json
import queue
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import psycopg

ROUTES = {
    # A number, without quotes.
    "/product": lambda q: f"SELECT id, name, price_cents, stock FROM shop.products WHERE id = {q('id', '1')}",
    # A text, between quotes.
    "/search": lambda q: f"SELECT id, name, price_cents FROM shop.products WHERE name = '{q('name', '')}' ORDER BY id LIMIT 20",
    # A sign-in that an attacker gets past.
    "/sign-in": lambda q: f"SELECT id, full_name FROM shop.users WHERE email = '{q('email', '')}' AND is_admin = true",
}


class Pages(BaseHTTPRequestHandler):
    url = ""
    # Connections that are not in use, or None for one that has yet to be made.
    pool = queue.LifoQueue()
    lock = threading.Lock()
    counts = {"answered": 0, "refused": 0, "failed": 0}
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.serve(urlsplit(self.path).query)

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.serve(self.rfile.read(length).decode("utf-8", "replace"))

    def serve(self, query):
        path = urlsplit(self.path).path
        if path == "/counts":
            return self.reply(200, json.dumps(self.counts))
        if path not in ROUTES:
            return self.reply(404, "no such page")
        fields = parse_qs(query, keep_blank_values=True)
        sql = ROUTES[path](lambda name, default: fields.get(name, [default])[0])
        try:
            rows = self.run(sql)
        except (psycopg.Error, UnicodeError) as error:
            # An error in full is what every attacker hopes for.
            refused = getattr(error, "sqlstate", None) == "42501"
            self.count("refused" if refused else "failed")
            return self.reply(500, f"<h1>Error</h1><pre>{html.escape(str(error))}</pre>")
        self.count("answered")
        cells = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(value))}</td>" for value in row) + "</tr>" for row in rows
        )
        return self.reply(200, f"<h1>{len(rows)} found</h1><table>{cells}</table>")

    def run(self, sql):
        connection = self.pool.get()
        try:
            if connection is None or connection.closed:
                connection = psycopg.connect(self.url, autocommit=True, connect_timeout=10)
            with connection.cursor() as cursor:
                # Without parameters this is a simple Query, which may hold several statements.
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            self.pool.put(connection)

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def reply(self, status, body):
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def main():
    Pages.url = sys.argv[1]
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 8080
    server = ThreadingHTTPServer(("127.0.0.1", port), Pages)
    server.daemon_threads = True
    for _ in range(8):
        Pages.pool.put(None)
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
