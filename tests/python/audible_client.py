"""Uses the `audible` library as its users do, with the auth file named first, and prints what it got.

audible_client.py AUTH_FILE [REDIRECTED_URL]
"""

import json
import sys

import audible


def main(file, redirected=None):
    auth = audible.Authenticator.from_file(file)
    got = {"version": audible.__version__ if hasattr(audible, "__version__") else "?"}
    with audible.Client(auth=auth) as client:
        got["library"] = client.get("library", num_results=5, response_groups="a,b")
        got["odd"] = client.get("1.0/library/a%20b+c//d")
        got["post"] = client.post("1.0/wishlist", body={"asin": "B00ä✓", "empty": ""})
        got["delete"] = client.delete("1.0/wishlist/B00")
        if redirected:
            answer = client.session.request("GET", redirected, follow_redirects=True)
            got["redirected"] = answer.status_code
    print(json.dumps(got))


main(*sys.argv[1:])
