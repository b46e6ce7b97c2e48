"""A rehearsal: a whole evening with simulated phones and authors against a real server, checked against its database.

connection   one kept-alive HTTP connection, as a browser holds it
phone        a voter's phone: polls, fetches pages, votes
author       somebody who enters a verse
ledger       what the server has acknowledged
promises     what is compared with the database at the end, or at any time before
measurements latencies, refusals and failures, and what went wrong first
"""
