#!/bin/sh
sleep 1
echo "the number is $(cat number)"
