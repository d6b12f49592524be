#!/bin/sh
# Writes link/first.txt: the functions that `staysigned serve` runs through until it waits, from a release build and
# valgrind. What changes from one compiler or library to the next, hashes and versions, is written as `*`. A name that
# is no longer there does no harm, one that is missing costs a page or two: once in a while is enough.
#   link/renew.sh CONFIG      with a configuration as in docs/benchmarks.md
set -eu
config=$(realpath "$1")
cd "$(dirname "$0")/.."
program=target/release/staysigned
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cargo build --release
timeout 20 valgrind -q --tool=callgrind --demangle=no --callgrind-out-file="$folder/calls" \
    "$program" serve --config "$config" || [ $? = 124 ]
nm "$program" | awk '$2 ~ /[tTwW]/ { print $3 }' | LC_ALL=C sort -u >"$folder/all"
sed -n -e "s/'[0-9]*\$//" -e 's/^c\{0,1\}fn=([0-9]*) //p' "$folder/calls" | LC_ALL=C sort -u |
    LC_ALL=C comm -12 - "$folder/all" |
    sed -e 's/\.llvm\.[0-9]*$//' -e 's/17h[0-9a-f]\{16\}E$/17h*/' -e 's/Cs[0-9A-Za-z]*_/Cs*_/g' \
        -e 's/aws_lc_[0-9_]*_/aws_lc_*_/' |
    LC_ALL=C sort -u >"$folder/first"
mv "$folder/first" link/first.txt
