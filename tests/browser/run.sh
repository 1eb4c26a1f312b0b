#!/usr/bin/env bash
# Checks the types of the SDK and the UI, runs their tests in Node, then all of it in a real browser.
# CUTTLEBONE_BIN names the binary (default target/debug/cuttlebone), CHROMIUM_BIN the browser (default /usr/bin/chromium).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

npm ci --no-audit --no-fund --silent
npm run --silent check
npm run --silent test:unit
npm run --silent test:browser
