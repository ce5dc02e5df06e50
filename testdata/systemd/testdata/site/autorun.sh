#!/bin/sh
mkdir -p __pycache__
echo left > __pycache__/left
chmod 500 __pycache__
echo "hello from ${PWD##*/} as $(id -un)"
exit 4
