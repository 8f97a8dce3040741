#!/bin/sh
# Installs what the tests use from the system where it can, and says what it left out.
# Without Chromium the tests that open a report in a browser are ignored; nothing else needs it.
set -u

has_browser() {
  for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && return 0
  done
  return 1
}

if has_browser; then
  echo "Chromium: already there"
  exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
  echo "Chromium: skipped, as there is no apt-get; install it by the system's own means"
  exit 0
fi
sudo=""
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    sudo="sudo -n"
  else
    echo "Chromium: skipped, as apt-get needs root"
    exit 0
  fi
fi
if $sudo apt-get update -qq &&
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends \
    chromium fonts-dejavu-core >/dev/null; then
  echo "Chromium: installed"
else
  echo "Chromium: skipped, as apt-get could not install it"
fi
