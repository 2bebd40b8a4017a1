"""Pages opened in headless Chromium, without a network."""

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Opened:
    """A page, and what it said and asked for since it was opened."""

    def __init__(self, page):
        self.page = page
        self.complaints = []
        self.requests = []
        page.on("console", lambda said: said.type in {"error", "warning"} and self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def asked_a_network(self):
        """Return the addresses it asked for that are no files and not part of the page itself."""
        return [url for url in self.requests if not url.startswith(("file:", "data:", "blob:"))]
