#!/usr/bin/env bash
# Partitions between Cartograph regions on Google Cloud: firewall rules that deny the replication port, and their removal.
#
#   gcp-partition.sh isolate NETWORK REGION        nothing passes between REGION and any other, either way
#   gcp-partition.sh cut NETWORK FROM TO           nothing passes from FROM to TO
#   gcp-partition.sh heal NETWORK                  removes every rule that this script has made
#   gcp-partition.sh list NETWORK                  shows them
#
# Nodes are told by network tag, `cartograph-REGION`, and subnets by region. PEER_PORT is the replication port (7501).
# DRY_RUN=1 prints the commands instead of running them. Needs gcloud with the right to change firewall rules
# (compute.firewalls.create and delete).
#
# A deny rule acts on new connections; established ones of the VPC live on until they are idle. So each rule is followed by
# nothing here that would break them: give the rules about ten seconds, or restart the node for a cut at once.
set -euo pipefail

readonly PORT="${PEER_PORT:-7501}"
readonly PREFIX=cartograph-chaos

fail() {
    echo "gcp-partition: $*" >&2
    exit 2
}

run() {
    if [[ -n "${DRY_RUN:-}" ]]; then
        echo "$*"
    else
        "$@"
    fi
}

# Names end up in commands: nothing but what Google allows in a name.
check_name() {
    [[ "$1" =~ ^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$ ]] || fail "\`$1\` is no name of a network or region"
}

ranges_of() {
    if [[ -n "${DRY_RUN:-}" ]]; then
        echo "RANGES-OF-$1"
        return
    fi
    local ranges
    ranges=$(gcloud compute networks subnets list --network "$NETWORK" --regions "$1" \
        --format='value[delimiter=","](ipCidrRange)' | paste -sd, -)
    [[ -n "$ranges" ]] || fail "network $NETWORK has no subnet in $1"
    echo "$ranges"
}

# What comes from FROM's subnets to TO's nodes is denied.
deny_ingress() {
    local ranges
    ranges=$(ranges_of "$1")
    run gcloud compute firewall-rules create "$PREFIX-$1-to-$2" --network "$NETWORK" --direction INGRESS --action DENY \
        --priority 10 --rules "tcp:$PORT" --source-ranges "$ranges" --target-tags "cartograph-$2"
}

# Everything on the replication port, in this direction, of one region's nodes.
deny_all() {
    local ranges=--source-ranges
    [[ "$2" == EGRESS ]] && ranges=--destination-ranges
    run gcloud compute firewall-rules create "$PREFIX-$1-${2,,}" --network "$NETWORK" --direction "$2" --action DENY \
        --priority 10 --rules "tcp:$PORT" "$ranges" 0.0.0.0/0 --target-tags "cartograph-$1"
}

our_rules() {
    gcloud compute firewall-rules list --filter "name~^$PREFIX- AND network~/$NETWORK\$" --format 'value(name)'
}

[[ $# -ge 2 ]] || fail "expected isolate, cut, heal or list, a network, and regions; see the top of this file"
readonly COMMAND="$1" NETWORK="$2"
shift 2
check_name "$NETWORK"
for region in "$@"; do check_name "$region"; done

case "$COMMAND" in
    isolate)
        [[ $# -eq 1 ]] || fail "isolate takes one region"
        deny_all "$1" INGRESS
        deny_all "$1" EGRESS
        ;;
    cut)
        [[ $# -eq 2 && "$1" != "$2" ]] || fail "cut takes two different regions"
        deny_ingress "$1" "$2"
        ;;
    heal)
        [[ $# -eq 0 ]] || fail "heal takes no region: it removes all of this script's rules"
        if [[ -n "${DRY_RUN:-}" ]]; then
            echo "gcloud compute firewall-rules delete --quiet (every rule named $PREFIX-* of $NETWORK)"
        else
            our_rules | while read -r rule; do gcloud compute firewall-rules delete --quiet "$rule"; done
        fi
        ;;
    list)
        our_rules
        ;;
    *)
        fail "there is no command \`$COMMAND\`; expected isolate, cut, heal or list"
        ;;
esac
