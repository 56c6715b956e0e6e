# Who may reach whom.

mock_provider "google" {}

variables {
  name         = "shop"
  project_id   = "shop-test"
  dns_name     = "cartograph.internal."
  client_cidrs = ["10.10.0.0/24", "10.20.0.0/24"]
  ports        = { http = 7101, resp = 7201, grpc = 7301, peer = 7501 }
  regions = {
    us-central1  = { cidr = "10.10.0.0/24", node_account = "n1@x", self_managed = true, store_account = "s1@x" }
    europe-west1 = { cidr = "10.20.0.0/24", node_account = "n2@x" }
  }
}

run "peers_only_from_nodes" {
  assert {
    condition = (
      google_compute_firewall.peers.source_service_accounts == toset(["n1@x", "n2@x"]) &&
      google_compute_firewall.peers.target_service_accounts == toset(["n1@x", "n2@x"]) &&
      length(coalesce(google_compute_firewall.peers.source_ranges, [])) == 0
    )
    error_message = "The peer port is for nodes, whatever their address."
  }
  assert {
    condition     = one(google_compute_firewall.peers.allow).ports == tolist(["7501"])
    error_message = "Nodes reach each other's peer port, and nothing else."
  }
  assert {
    condition     = !contains(one(google_compute_firewall.clients[0].allow).ports, "7501") && !contains(one(google_compute_firewall.google.allow).ports, "7501")
    error_message = "Neither clients nor Google's front ends reach the peer port."
  }
  assert {
    condition     = !contains(one(google_compute_firewall.google.allow).ports, "7201")
    error_message = "RESP is not for the world."
  }
  assert {
    condition     = google_compute_firewall.store["us-central1"].source_service_accounts == toset(["n1@x"]) && length(google_compute_firewall.store) == 1
    error_message = "A store of our own is for its own node."
  }
  assert {
    condition     = google_compute_firewall.store_egress["europe-west1"].priority < google_compute_firewall.deny_store_egress.priority
    error_message = "What is allowed goes before what is denied."
  }
  assert {
    condition     = google_compute_network.main.auto_create_subnetworks == false
    error_message = "No subnets but ours."
  }
  assert {
    condition     = length(google_compute_firewall.cut_egress) == 0
    error_message = "Nothing is cut by default."
  }
}

run "one_direction_is_cut" {
  variables {
    partition = [{ from = "us-central1", to = "europe-west1" }]
  }
  assert {
    condition = (
      google_compute_firewall.cut_egress["us-central1-to-europe-west1"].target_service_accounts == toset(["n1@x"]) &&
      google_compute_firewall.cut_egress["us-central1-to-europe-west1"].destination_ranges == toset(["10.20.0.0/24"])
    )
    error_message = "It is refused where it leaves."
  }
  assert {
    condition = (
      google_compute_firewall.cut_ingress["us-central1-to-europe-west1"].target_service_accounts == toset(["n2@x"]) &&
      google_compute_firewall.cut_ingress["us-central1-to-europe-west1"].source_ranges == toset(["10.10.0.0/24"])
    )
    error_message = "It is refused where it arrives."
  }
  assert {
    condition     = length(google_compute_firewall.cut_egress) == 1
    error_message = "The other direction stays."
  }
  assert {
    condition     = google_compute_firewall.cut_ingress["us-central1-to-europe-west1"].priority < google_compute_firewall.peers.priority
    error_message = "A cut goes before the rule that lets peers in."
  }
}

run "no_private_clients" {
  variables { client_cidrs = [] }
  assert {
    condition     = length(google_compute_firewall.clients) == 0
    error_message = "A rule without sources would let everybody in."
  }
}
