"""Where the reference contradicts itself or is silent, and what the sandbox does there. A client accepts the other
reading too. Each line is held by a test: `docs/reference-coverage.md` names it.
"""

from __future__ import annotations

DECISIONS: dict[str, str] = {
    "order of checks": "-1, -17, missing login -3, -16, -2, other -3, -4, then the order's state; the format asked for "
    "is read first, whatever else fails",
    "other methods": "any method but POST is -17",
    "query string": "ignored",
    "a parameter twice, or undecodable": "-4 with its name",
    "an empty required parameter": "-3",
    "an empty optional parameter": "as absent",
    "no identifier": "-3 naming orderNumber",
    "an unknown order": "-4 with errorItem",
    "identifiers that disagree": "-4 with errorItem",
    "wrong content type": "as no parameters: -3 loginName",
    "body over 64 KiB": "HTTP 413 and a -4 text",
    "responseType omitted": "3",
    "responseType omitted, binary": "-4 responseEncoding",
    "responseFormat and show* with binary": "ignored once attached; type application/octet-stream",
    "y, n in lower case": "-4",
    "a login longer than its maximum": "-16, as any wrong one",
    "queryType 0 of an issued order": "1, never 2",
    "showValidityPeriod at status 0 (the sample has two durations, the table timestamps)": "the durations",
    "showValidityPeriod from status 1": "all six",
    "showFQDN (if status 0 in one format, always in the other)": "always",
    "newline: order of lines": "status, dates, product term stamps, fqdn, certificates, blank line, both statuses, "
    "domains, steps as name=value, caaStatus",
    "product term end": "00:00 of the day",
    "certificate end": "23:59:59",
    "showExtStatus (two statuses in the text, one in the sample)": "both; validationStatus may be missing under strict",
    "a revoked order": "-21",
    "the text Revoked": "only when set by hand",
    "maStatus (not in the URL-encoded table, but sent in the sample)": "both formats",
    "ev* (not in the URL-encoded table)": "both formats, for EV orders",
    "values that a step does not list": "order.step refuses them",
    "caaStatus (no condition given)": "with showStatusDetails",
    "status word of a domain that awaits brand validation": "AWAITINGBRAND",
    "such a domain in mdcDomainDetails": "left out; mdcDomainDetails2 has it",
    'mdcDomainDetails, "a URL-encoded string"': "once or twice, under strict",
    "behaviourVersion 1": "a replaced certificate is -23",
    "behaviourVersion 0 or absent": "a replaced certificate comes with 2",
    "reissue": "the same order number, a new certificateID, the old one replaced",
    "two calls at once": "-14 with a text naming the call in work, at once",
    "-90 and -91": "by fail_next only",
    "error texts": "curly quotes in windows-1252",
    "ten wrong logins in a row": "lock the account: -16 to everyone until it is unlocked",
}
"""What is open, and how the sandbox decides it."""
