"""Fetches a URL with the library named first and writes the body to standard output; exit 22 for a 4xx or 5xx.

fetch.py requests|httpx|httpx2|urllib URL [METHOD] [FILE]
"""

import sys


def main(library, url, method="GET", file=None):
    data = open(file, "rb") if file else None
    if library == "requests":
        import requests

        answer = requests.request(method, url, data=data, stream=True, timeout=60)
        status, chunks = answer.status_code, answer.iter_content(1 << 16)
        write(chunks)
    elif library in ("httpx", "httpx2"):
        import httpx

        with httpx.Client(http2=library == "httpx2", timeout=60) as client:
            with client.stream(method, url, content=data) as answer:
                status = answer.status_code
                if library == "httpx2" and answer.http_version != "HTTP/2":
                    sys.exit(f"not HTTP/2 but {answer.http_version}")
                write(answer.iter_bytes())
    else:
        import urllib.error
        import urllib.request

        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                status = answer.status
                write(iter(lambda: answer.read(1 << 16), b""))
        except urllib.error.HTTPError as error:
            status = error.code
    sys.exit(0 if status < 400 else 22)


def write(chunks):
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


main(*sys.argv[1:])
