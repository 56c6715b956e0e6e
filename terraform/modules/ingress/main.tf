# One name for all regions, twice: privately by DNS for every door, publicly by a global load balancer for HTTP and gRPC.
#
# Both send a client to the nearest region that is ready, and to the next one when it is not. A region that does not
# serve (it joins, or is about to leave) keeps everything but its clients.

locals {
  serving = { for name, region in var.regions : name => region if region.serving }
  public  = var.public == null ? {} : { public = var.public }
  # A rule of Cloud Armor takes ten ranges.
  client_chunks = var.public == null ? {} : {
    for index, chunk in chunklist(var.public.client_cidrs, 10) : tostring(index) => chunk
  }
  # What the world may ask for. The administrative, status and metrics paths of the same port are not among them.
  public_prefixes = ["/v1/carts/", "/cartograph.v1.CartService/", "/hipstershop.CartService/"]
  backends = {
    http = { protocol = "HTTP", port_name = "http" }
    grpc = { protocol = "H2C", port_name = "grpc" }
  }
}

# Nearest healthy region, by name. RESP clients have no other way: a Redis client knows one address.
resource "google_dns_record_set" "doors" {
  project      = var.project_id
  managed_zone = var.dns.zone
  name         = "doors.${var.dns.name}"
  type         = "A"
  ttl          = 5
  routing_policy {
    dynamic "geo" {
      for_each = local.serving
      content {
        location = geo.key
        health_checked_targets {
          internal_load_balancers {
            load_balancer_type = "regionalL4ilb"
            ip_address         = geo.value.clients_address
            port               = tostring(var.ports.resp)
            ip_protocol        = "tcp"
            network_url        = var.network
            project            = var.project_id
            region             = geo.key
          }
        }
      }
    }
  }
}

# And each region's doors under a name of their own, for those who choose.
resource "google_dns_record_set" "region" {
  for_each = var.regions

  project      = var.project_id
  managed_zone = var.dns.zone
  name         = "doors-${each.key}.${var.dns.name}"
  type         = "A"
  ttl          = 30
  rrdatas      = [each.value.clients_address]
}

resource "google_compute_global_address" "public" {
  for_each = local.public

  project    = var.project_id
  name       = var.name
  ip_version = "IPV4"
}

resource "google_compute_managed_ssl_certificate" "public" {
  for_each = local.public

  project = var.project_id
  # A certificate cannot be changed in place: another domain is another certificate, made before the old one goes.
  name = "${var.name}-${substr(sha256(each.value.domain), 0, 8)}"
  managed {
    domains = [each.value.domain]
  }
  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_ssl_policy" "public" {
  for_each = local.public

  project         = var.project_id
  name            = var.name
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"
}

resource "google_compute_security_policy" "public" {
  for_each = local.public

  project     = var.project_id
  name        = var.name
  description = "Public paths only, from known clients only, not too often."
  type        = "CLOUD_ARMOR"

  rule {
    action      = "deny(404)"
    priority    = 100
    description = "What is not public does not exist."
    match {
      expr {
        expression = join(" && ", [for prefix in local.public_prefixes : "!request.path.startsWith('${prefix}')"])
      }
    }
  }

  # Log4j lookups: Google's own rule for CVE-2021-44228.
  rule {
    action      = "deny(403)"
    priority    = 200
    description = "Log4j lookups."
    match {
      expr {
        expression = "evaluatePreconfiguredExpr('cve-canary')"
      }
    }
  }

  dynamic "rule" {
    for_each = local.client_chunks
    content {
      action      = "throttle"
      priority    = 1000 + tonumber(rule.key)
      description = "Clients, each at its rate."
      match {
        versioned_expr = "SRC_IPS_V1"
        config {
          src_ip_ranges = rule.value
        }
      }
      rate_limit_options {
        conform_action = "allow"
        exceed_action  = "deny(429)"
        enforce_on_key = "IP"
        rate_limit_threshold {
          count        = each.value.requests_per_minute
          interval_sec = 60
        }
      }
    }
  }

  rule {
    action      = "deny(403)"
    priority    = 2147483647
    description = "Everybody else."
    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
  }
}

resource "google_compute_health_check" "public" {
  for_each = local.public

  project             = var.project_id
  name                = "${var.name}-public"
  check_interval_sec  = 2
  timeout_sec         = 2
  healthy_threshold   = 1
  unhealthy_threshold = 2
  http_health_check {
    port         = var.ports.http
    request_path = "/readyz"
  }
}

resource "google_compute_backend_service" "public" {
  for_each = var.public == null ? {} : local.backends

  project                         = var.project_id
  name                            = "${var.name}-${each.key}"
  protocol                        = each.value.protocol
  port_name                       = each.value.port_name
  load_balancing_scheme           = "EXTERNAL_MANAGED"
  health_checks                   = [google_compute_health_check.public["public"].id]
  security_policy                 = google_compute_security_policy.public["public"].id
  connection_draining_timeout_sec = 30
  timeout_sec                     = 30
  log_config {
    enable      = true
    sample_rate = 0.1
  }
  dynamic "backend" {
    for_each = local.serving
    content {
      group                 = backend.value.instance_group
      balancing_mode        = "RATE"
      max_rate_per_instance = 20000
      capacity_scaler       = 1
    }
  }
}

resource "google_compute_url_map" "public" {
  for_each = local.public

  project         = var.project_id
  name            = var.name
  default_service = google_compute_backend_service.public["http"].id
  host_rule {
    hosts        = [each.value.domain]
    path_matcher = "doors"
  }
  path_matcher {
    name            = "doors"
    default_service = google_compute_backend_service.public["http"].id
    path_rule {
      paths   = ["/cartograph.v1.CartService/*", "/hipstershop.CartService/*"]
      service = google_compute_backend_service.public["grpc"].id
    }
  }
}

resource "google_compute_target_https_proxy" "public" {
  for_each = local.public

  project          = var.project_id
  name             = var.name
  url_map          = google_compute_url_map.public["public"].id
  ssl_certificates = [google_compute_managed_ssl_certificate.public["public"].id]
  ssl_policy       = google_compute_ssl_policy.public["public"].id
}

resource "google_compute_global_forwarding_rule" "public" {
  for_each = local.public

  project               = var.project_id
  name                  = var.name
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_protocol           = "TCP"
  ip_address            = google_compute_global_address.public["public"].id
  port_range            = "443"
  target                = google_compute_target_https_proxy.public["public"].id
  labels                = var.labels
}
