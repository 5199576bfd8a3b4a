# What the tools in bash share: source it first, at the top of the tree.
#
# help: the comment at the top of a tool, from its second line to the first line without #.
# fail TEXT: says what is wrong, and exits with 2.
# whole WHAT VALUE LOW HIGH: fails unless VALUE is a whole number within bounds.

tool=tools/${0##*/}
target=${CARGO_TARGET_DIR:-target}

help() {
  sed -n '2,/^[^#]/s/^#\( \|$\)//p' "$tool"
  exit 0
}

fail() {
  echo "$tool: $1" >&2
  exit 2
}

whole() {
  if ! [[ $2 =~ ^[0-9]{1,9}$ ]] || ((10#$2 < $3 || 10#$2 > $4)); then
    fail "$1: invalid value \"$2\": expected a whole number from $3 to $4; see $tool --help"
  fi
}
