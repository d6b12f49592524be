"""An OAuth client that keeps its own tokens: logs in, reads, refreshes, and reads again; prints what it was given.

token_client.py TOKEN_URL API_URL ROUNDS
"""

import json
import sys

import requests

token_url, api_url, rounds = sys.argv[1:]
http = requests.Session()


def ask(**form):
    answer = http.post(token_url, data=form, timeout=60)
    answer.raise_for_status()
    return answer.json()


def read(tokens):
    bearer = {"Authorization": "Bearer " + tokens["access_token"]}
    http.get(api_url, headers=bearer, timeout=60).raise_for_status()


given = [ask(grant_type="password", username="ann", password="x")]
read(given[0])
for _ in range(int(rounds)):
    given.append(ask(grant_type="refresh_token", refresh_token=given[-1]["refresh_token"]))
    read(given[-1])
json.dump(given, sys.stdout)
