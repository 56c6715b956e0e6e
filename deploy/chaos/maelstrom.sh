#!/bin/sh
# What Maelstrom's --bin takes: a node of the workload that CARTOGRAPH_MAELSTROM_WORKLOAD names.
exec "${CARTOGRAPH_BIN:-cartograph}" maelstrom "$@"
