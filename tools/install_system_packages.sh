#!/bin/sh
# Installs what the tests use besides Deno where it can, and says what it left out. Nothing else needs it:
# - Chromium, which opens reports and the demonstration page;
# - Python packages in .venv, which make and read files independently of this library.
# Tests that lack one of them are ignored with a printed reason.
set -u
cd "$(dirname "$0")/.."

sudo=""
can_install() { # whether apt-get can be used; sets $sudo
  command -v apt-get >/dev/null 2>&1 || return 1
  [ "$(id -u)" -eq 0 ] && return 0
  command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null || return 1
  sudo="sudo -n"
}

apt_install() {
  $sudo apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

install_chromium() {
  for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then
      echo "Chromium: already there"
      return
    fi
  done
  if ! can_install; then
    echo "Chromium: skipped, as apt-get needs root; install it by the system's own means"
  elif apt_install chromium fonts-dejavu-core; then
    echo "Chromium: installed"
  else
    echo "Chromium: skipped, as apt-get could not install it"
  fi
}

install_python_packages() {
  packages="numpy pillow pyarrow tensorboard onnxruntime"
  imports="import numpy, PIL, pyarrow, tensorboard, onnxruntime"
  if [ -x .venv/bin/python ] && .venv/bin/python -c "$imports" 2>/dev/null; then
    echo "Python packages: already there"
  elif ! command -v python3 >/dev/null 2>&1; then
    echo "Python packages: skipped, as there is no python3"
  elif python3 -m venv .venv && .venv/bin/python -m pip install -q --disable-pip-version-check $packages; then
    echo "Python packages: installed in .venv"
  else
    echo "Python packages: skipped, as they could not be installed"
  fi
}

install_chromium
install_python_packages
