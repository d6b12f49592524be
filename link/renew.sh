#!/bin/bash
# Writes link/first.txt: the functions that `staysigned serve` runs through until it waits and some have connected
# and left, from a release build and valgrind. What changes from one compiler or library to the next, hashes and
# versions, is written as `*`; a name that so stands for many functions of which few are needed is left out. One that is
# no longer there does no harm, one that is missing costs a page or two: once in a while is enough, and after a library
# was replaced.
#   link/renew.sh CONFIG      with a configuration as in docs/benchmarks.md
set -eu
config=$(realpath "$1")
cd "$(dirname "$0")/.."
program=target/release/staysigned
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cargo build --release
valgrind -q --tool=callgrind --demangle=no --callgrind-out-file="$folder/calls" \
    "$program" serve --config "$config" >"$folder/log" 2>&1 &
serving=$!
port=
for _ in $(seq 100); do
    sleep 0.5
    port=$(sed -n 's/.*"listen":"[^"]*:\([0-9]*\)".*/\1/p' "$folder/log")
    [ -z "$port" ] || break
done
for seconds in 0 0 1; do
    (exec 3<>"/dev/tcp/127.0.0.1/$port" && sleep "$seconds")
done
sleep 3
kill "$serving"
wait "$serving" || true

sed -n -e "s/'[0-9]*\$//" -e 's/^c\{0,1\}fn=([0-9]*) //p' "$folder/calls" >"$folder/used"
nm --print-size --radix=d "$program" | awk '$3 ~ /[tTwW]/ { print $1, $2, $4 }' >"$folder/all"
# Equal functions are one, which stands in the file under any of its names.
awk '
    function short(name) {
        sub(/\.llvm\.[0-9]*$/, "", name)
        gsub(/Cs[0-9A-Za-z]*_/, "Cs*_", name)
        sub(/aws_lc_[0-9_]*_/, "aws_lc_*_", name)
        return name
    }
    FILENAME == ARGV[1] { used[$0]; next }
    { place[NR] = $1; size[NR] = $2; name[NR] = short($3) }
    $3 in used { needed[$1] }
    END {
        for (i in place) {
            if ((name[i], place[i]) in seen) continue
            seen[name[i], place[i]]
            if (place[i] in needed) good[name[i]] += 1; else waste[name[i]] += size[i]
        }
        # What is left out costs as much as the system maps at once.
        for (one in good) if (waste[one] <= 65536 * good[one]) print one
    }' "$folder/used" "$folder/all" | LC_ALL=C sort -u >"$folder/first"
mv "$folder/first" link/first.txt
