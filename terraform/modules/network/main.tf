# One global network: regions reach each other's private addresses without any peering.
#
# Firewall rules name service accounts, not addresses or tags: a machine is a node because it runs as one.

locals {
  node_accounts = [for region in var.regions : region.node_account]
  # Google's health checkers and load balancer proxies.
  google_cidrs = ["35.191.0.0/16", "130.211.0.0/22"]
  stores       = { for name, region in var.regions : name => region if region.self_managed }
  cuts         = { for cut in var.partition : "${cut.from}-to-${cut.to}" => cut }
}

resource "google_compute_network" "main" {
  project                 = var.project_id
  name                    = var.name
  auto_create_subnetworks = false
  routing_mode            = "GLOBAL"
}

resource "google_compute_subnetwork" "region" {
  for_each = var.regions

  project                  = var.project_id
  name                     = "${var.name}-${each.key}"
  region                   = each.key
  network                  = google_compute_network.main.id
  ip_cidr_range            = each.value.cidr
  private_ip_google_access = true
  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

# Nodes have no public addresses; images that are not in Artifact Registry come through here.
resource "google_compute_router" "region" {
  for_each = var.regions

  project = var.project_id
  name    = "${var.name}-${each.key}"
  region  = each.key
  network = google_compute_network.main.id
}

resource "google_compute_router_nat" "region" {
  for_each = var.regions

  project                            = var.project_id
  name                               = "${var.name}-${each.key}"
  region                             = each.key
  router                             = google_compute_router.region[each.key].name
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"
  subnetwork {
    name                    = google_compute_subnetwork.region[each.key].id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }
  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}

# What nothing below allows is refused, aloud. (Google's implied rule refuses it silently.)
resource "google_compute_firewall" "deny_ingress" {
  project       = var.project_id
  name          = "${var.name}-deny-ingress"
  description   = "Refuses what no other rule allows, and logs it."
  network       = google_compute_network.main.id
  direction     = "INGRESS"
  priority      = 65000
  source_ranges = ["0.0.0.0/0"]
  deny {
    protocol = "all"
  }
  log_config {
    metadata = "EXCLUDE_ALL_METADATA"
  }
}

resource "google_compute_firewall" "peers" {
  project                 = var.project_id
  name                    = "${var.name}-peers"
  description             = "Links between regions: node to node, and nobody else."
  network                 = google_compute_network.main.id
  direction               = "INGRESS"
  priority                = 1000
  source_service_accounts = local.node_accounts
  target_service_accounts = local.node_accounts
  allow {
    protocol = "tcp"
    ports    = [var.ports.peer]
  }
}

resource "google_compute_firewall" "google" {
  project                 = var.project_id
  name                    = "${var.name}-google-front-ends"
  description             = "Health checks, and requests that come through load balancers."
  network                 = google_compute_network.main.id
  direction               = "INGRESS"
  priority                = 1000
  source_ranges           = local.google_cidrs
  target_service_accounts = local.node_accounts
  allow {
    protocol = "tcp"
    ports    = [var.ports.http, var.ports.grpc]
  }
}

resource "google_compute_firewall" "clients" {
  count = length(var.client_cidrs) > 0 ? 1 : 0

  project                 = var.project_id
  name                    = "${var.name}-clients"
  description             = "Applications that use the doors by private addresses."
  network                 = google_compute_network.main.id
  direction               = "INGRESS"
  priority                = 1000
  source_ranges           = var.client_cidrs
  target_service_accounts = local.node_accounts
  allow {
    protocol = "tcp"
    ports    = [var.ports.http, var.ports.resp, var.ports.grpc]
  }
}

resource "google_compute_firewall" "store" {
  for_each = local.stores

  project                 = var.project_id
  name                    = "${var.name}-store-${each.key}"
  description             = "A region's store: its own node, and nobody else."
  network                 = google_compute_network.main.id
  direction               = "INGRESS"
  priority                = 1000
  source_service_accounts = [each.value.node_account]
  target_service_accounts = [each.value.store_account]
  allow {
    protocol = "tcp"
    ports    = [6379]
  }
}

# Memorystore's addresses are in our subnets and cannot be the target of a rule, so it is the way out that is guarded: a
# node reaches port 6379 of its own region's subnet, every other machine of this network none at all.
resource "google_compute_firewall" "store_egress" {
  for_each = var.regions

  project                 = var.project_id
  name                    = "${var.name}-to-store-${each.key}"
  description             = "A node reaches the store of its own region."
  network                 = google_compute_network.main.id
  direction               = "EGRESS"
  priority                = 900
  destination_ranges      = [each.value.cidr]
  target_service_accounts = [each.value.node_account]
  allow {
    protocol = "tcp"
    ports    = [6379]
  }
}

resource "google_compute_firewall" "deny_store_egress" {
  project            = var.project_id
  name               = "${var.name}-deny-to-stores"
  description        = "Nobody else reaches a store."
  network            = google_compute_network.main.id
  direction          = "EGRESS"
  priority           = 1000
  destination_ranges = [for region in var.regions : region.cidr]
  deny {
    protocol = "tcp"
    ports    = [6379]
  }
  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

# Chaos: one direction of one pair of regions each, refused where it leaves and where it arrives. A rule does not end
# connections that are open: see docs/operating/google-cloud.md.
resource "google_compute_firewall" "cut_egress" {
  for_each = local.cuts

  project                 = var.project_id
  name                    = "${var.name}-cut-${each.key}-out"
  description             = "Chaos: ${each.value.from} cannot reach ${each.value.to}."
  network                 = google_compute_network.main.id
  direction               = "EGRESS"
  priority                = 100
  destination_ranges      = [var.regions[each.value.to].cidr]
  target_service_accounts = [var.regions[each.value.from].node_account]
  deny {
    protocol = "tcp"
    ports    = [var.ports.peer]
  }
  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

resource "google_compute_firewall" "cut_ingress" {
  for_each = local.cuts

  project                 = var.project_id
  name                    = "${var.name}-cut-${each.key}-in"
  description             = "Chaos: ${each.value.to} takes nothing from ${each.value.from}."
  network                 = google_compute_network.main.id
  direction               = "INGRESS"
  priority                = 100
  source_ranges           = [var.regions[each.value.from].cidr]
  target_service_accounts = [var.regions[each.value.to].node_account]
  deny {
    protocol = "tcp"
    ports    = [var.ports.peer]
  }
  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

resource "google_dns_managed_zone" "private" {
  project     = var.project_id
  name        = var.name
  dns_name    = var.dns_name
  description = "Names of Cartograph's regions and doors."
  visibility  = "private"
  labels      = var.labels
  private_visibility_config {
    dynamic "networks" {
      for_each = concat([google_compute_network.main.id], var.client_networks)
      content {
        network_url = networks.value
      }
    }
  }
}
