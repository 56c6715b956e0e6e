# Private addresses of the region: one for clients, one for the other regions.
#
# They differ in who decides whether the node may be reached. A node that is not ready must get no clients; but peers
# must reach it all the same, because that is how it becomes ready.

locals {
  doors = {
    clients = {
      path  = "/readyz"
      ports = [var.ports.http, var.ports.resp, var.ports.grpc]
    }
    peers = {
      path  = "/healthz"
      ports = [var.ports.peer]
    }
  }
}

resource "google_compute_region_health_check" "door" {
  for_each = local.doors

  project             = var.project_id
  name                = "${var.name}-${each.key}-${var.region}"
  region              = var.region
  check_interval_sec  = 2
  timeout_sec         = 2
  healthy_threshold   = 1
  unhealthy_threshold = 2
  http_health_check {
    port         = var.ports.http
    request_path = each.value.path
  }
}

resource "google_compute_region_backend_service" "door" {
  for_each = local.doors

  project                         = var.project_id
  name                            = "${var.name}-${each.key}-${var.region}"
  region                          = var.region
  protocol                        = "TCP"
  load_balancing_scheme           = "INTERNAL"
  health_checks                   = [google_compute_region_health_check.door[each.key].id]
  connection_draining_timeout_sec = 10
  backend {
    group          = google_compute_region_instance_group_manager.node.instance_group
    balancing_mode = "CONNECTION"
  }
}

resource "google_compute_address" "door" {
  for_each = local.doors

  project      = var.project_id
  name         = "${var.name}-${each.key}-${var.region}"
  region       = var.region
  address_type = "INTERNAL"
  subnetwork   = var.subnetwork
}

resource "google_compute_forwarding_rule" "door" {
  for_each = local.doors

  project               = var.project_id
  name                  = "${var.name}-${each.key}-${var.region}"
  region                = var.region
  load_balancing_scheme = "INTERNAL"
  ip_protocol           = "TCP"
  ip_address            = google_compute_address.door[each.key].address
  ports                 = each.value.ports
  network               = var.network
  subnetwork            = var.subnetwork
  backend_service       = google_compute_region_backend_service.door[each.key].id
  # Machines of any region of the network may come in; the firewall says which.
  allow_global_access = true
  labels              = var.labels
}

# The region's own name is where its peers dial it.
resource "google_dns_record_set" "peer" {
  project      = var.project_id
  managed_zone = var.dns.zone
  name         = "${var.region}.${var.dns.name}"
  type         = "A"
  ttl          = 30
  rrdatas      = [google_compute_address.door["peers"].address]
}
