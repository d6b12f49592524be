"""Downloads books as the batch downloader of an e-book library does: with requests and a cookies.json beside it.

books.py FIRST LAST shared|each OUT

`shared`: one requests session for all books; `each`: a new one for every book, from the same cookies.json. Cookies whose
Max-Age has a fraction are set by hand, because Python's jar drops them; the file is written again every five books.
A book whose API answer is an error ends the run, and takes cookies.json with it.
"""

import json
import os
import re
import sys

import requests

HOST = "https://learning.oreilly.com"
FRACTION = re.compile(r"(max-age=\d*\.\d*)", re.IGNORECASE)


def session():
    new = requests.Session()
    new.cookies.update(json.load(open("cookies.json")))
    return new


def get(client, url):
    answer = client.get(url, timeout=60)
    for line in answer.raw.headers.getlist("Set-Cookie"):
        if FRACTION.search(line):
            name, value = line.split(";")[0].split("=", 1)
            client.cookies.set(name, value)
    if answer.status_code != 200:
        sys.exit(f"{url}: {answer.status_code} {answer.headers.get('Proxy-Status', '')}")
    return answer


def save(client):
    json.dump(client.cookies.get_dict(), open("cookies.json", "w"))


def book(client, number, out):
    if client.get(HOST + "/profile/", allow_redirects=False, timeout=60).status_code != 200:
        sys.exit("unable to access profile page")
    info = get(client, f"{HOST}/api/v1/book/{number}/").json()
    if len(info) == 1:
        os.remove("cookies.json")
        sys.exit(f"API: {info}")
    pages = get(client, f"{HOST}/api/v1/book/{number}/chapter/?page=1").json()["results"]
    with open(os.path.join(out, f"{number}.html"), "w") as file:
        for page in pages:
            text = get(client, page["content"]).text
            file.write(text)
    for style in info.get("stylesheets", []):
        get(client, style)


def main(first, last, manner, out):
    client = session()
    for number in range(int(first), int(last) + 1):
        if manner == "each":
            client = session()
        book(client, number, out)
        if number % 5 == 0:
            save(client)
    save(client)


main(*sys.argv[1:])
