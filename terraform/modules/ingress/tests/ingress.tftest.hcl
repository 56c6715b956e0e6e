# Where clients come in, and what they can see there.

mock_provider "google" {}

variables {
  name       = "shop"
  project_id = "shop-test"
  network    = "projects/shop-test/global/networks/shop"
  dns        = { zone = "shop", name = "cartograph.internal." }
  ports      = { http = 7101, resp = 7201, grpc = 7301, peer = 7501 }
  regions = {
    us-central1  = { instance_group = "g1", clients_address = "10.10.0.5", serving = true }
    europe-west1 = { instance_group = "g2", clients_address = "10.20.0.5", serving = false }
  }
}

run "private" {
  assert {
    condition     = length(google_compute_global_forwarding_rule.public) == 0 && length(google_compute_backend_service.public) == 0
    error_message = "Nothing public unless it is asked for."
  }
  assert {
    condition     = join(" ", google_dns_record_set.doors.routing_policy[0].geo[*].location) == "us-central1"
    error_message = "A region that does not serve gets no clients."
  }
  assert {
    condition     = google_dns_record_set.region["europe-west1"].rrdatas == tolist(["10.20.0.5"])
    error_message = "But it can be reached by its own name."
  }
}

run "public" {
  variables {
    public = { domain = "carts.example.com", client_cidrs = [for n in range(12) : "198.51.${n}.0/24"], requests_per_minute = 100 }
  }
  assert {
    condition     = join(" ", [for backend in google_compute_backend_service.public["http"].backend : backend.group]) == "g1"
    error_message = "Only regions that serve are backends."
  }
  assert {
    condition     = google_compute_backend_service.public["grpc"].protocol == "H2C" && google_compute_backend_service.public["http"].protocol == "HTTP"
    error_message = "gRPC needs HTTP/2 up to the node."
  }
  assert {
    condition     = google_compute_global_forwarding_rule.public["public"].port_range == "443"
    error_message = "TLS, and nothing else."
  }
  assert {
    condition = length([
      for rule in google_compute_security_policy.public["public"].rule : rule
      if rule.priority == 100 && rule.action == "deny(404)" && try(strcontains(rule.match[0].expr[0].expression, "!request.path.startsWith('/v1/carts/')"), false)
    ]) == 1
    error_message = "Paths that are not public do not exist: /v1/admin, /v1/status and /metrics are on the same port."
  }
  assert {
    condition = length([
      for rule in google_compute_security_policy.public["public"].rule : rule
      if rule.action == "throttle"
    ]) == 2
    error_message = "Twelve ranges are two rules of at most ten."
  }
  assert {
    condition = length([
      for rule in google_compute_security_policy.public["public"].rule : rule
      if rule.priority == 2147483647 && rule.action == "deny(403)"
    ]) == 1
    error_message = "Everybody else stays out."
  }
  assert {
    condition     = contains(google_compute_url_map.public["public"].path_matcher[0].path_rule[0].paths, "/hipstershop.CartService/*")
    error_message = "Online Boutique's calls go to the gRPC door."
  }
}
