import os, urllib.error, urllib.request


class KeepRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


def call(address, path, method="GET", body=None, headers={}):
    """Calls the tool through Consign. `address` is that of the gateway; the API key comes from the environment."""
    request = urllib.request.Request(address + path.lstrip("/"), data=body, headers=headers, method=method)
    request.add_header("Authorization", "Bearer " + os.environ["CONSIGN_TOKEN"])
    try:
        answer = urllib.request.build_opener(KeepRedirects).open(request, timeout=90)
    except urllib.error.HTTPError as other:
        answer = other
    with answer:
        code = answer.headers.get("Consign-Error")
        if code:
            raise RuntimeError(f"Consign itself answered: {code}")
        return answer.status, answer.read()
