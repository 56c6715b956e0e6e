# What the modules make of a map of regions, with Google mocked: names, counts, and who may reach whom.

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id  = "shop-test"
  image       = "europe-docker.pkg.dev/shop-test/cartograph/cartograph:1.0.0"
  enable_apis = false
  regions = {
    us-central1     = { id = 1, cidr = "10.10.0.0/24", zones = ["us-central1-a", "us-central1-b", "us-central1-f"] }
    europe-west1    = { id = 2, cidr = "10.20.0.0/24", zones = ["europe-west1-b", "europe-west1-c"] }
    asia-southeast1 = { id = 3, cidr = "10.30.0.0/24", zones = ["asia-southeast1-a"] }
  }
}

run "three_regions" {
  assert {
    condition     = join(" ", keys(output.resp_endpoint)) == "asia-southeast1 europe-west1 us-central1"
    error_message = "Outputs are maps by region."
  }
  assert {
    condition     = output.resp_endpoint["europe-west1"] == "doors-europe-west1.cartograph.internal:7201"
    error_message = "RESP in Europe: ${output.resp_endpoint["europe-west1"]}"
  }
  assert {
    condition     = output.peer_endpoint["europe-west1"] == "https://europe-west1.cartograph.internal:7501"
    error_message = "Peers dial TLS, under the name that certificates carry: ${output.peer_endpoint["europe-west1"]}"
  }
  assert {
    condition     = output.store_endpoint["us-central1"] == "10.0.0.99:6379"
    error_message = "The node writes to the primary: ${output.store_endpoint["us-central1"]}"
  }
  assert {
    condition     = output.public_address == null && output.public_url == null
    error_message = "No global address unless it is asked for."
  }
  assert {
    condition = module.region["us-central1"].environment["CARTOGRAPH_PEERS"] == join(",", [
      "asia-southeast1=3@https://asia-southeast1.cartograph.internal:7501",
      "europe-west1=2@https://europe-west1.cartograph.internal:7501",
    ])
    error_message = "A region's peers are all others: ${module.region["us-central1"].environment["CARTOGRAPH_PEERS"]}"
  }
  assert {
    condition     = module.region["europe-west1"].environment["CARTOGRAPH_REGION_ID"] == "2"
    error_message = "A region knows its id."
  }
  assert {
    condition     = module.region["europe-west1"].environment["CARTOGRAPH_STORE_DURABILITY"] == "disk"
    error_message = "An acknowledged write is on disk by default."
  }
  assert {
    condition     = !contains(keys(module.region["europe-west1"].environment), "CARTOGRAPH_CLUSTER_BOOTSTRAP")
    error_message = "A region that joins must never begin alone."
  }
  assert {
    condition     = length(output.peer_commands["us-central1"]) == 2
    error_message = "Each region is told of the two others."
  }
  assert {
    condition     = strcontains(output.forget_commands["europe-west1"], "doors-asia-southeast1.cartograph.internal") && endswith(output.forget_commands["europe-west1"], "/forget/europe-west1")
    error_message = "A region is forgotten at another one: ${output.forget_commands["europe-west1"]}"
  }
}

run "a_region_is_one_line" {
  variables {
    regions = {
      us-central1     = { id = 1, cidr = "10.10.0.0/24", zones = ["us-central1-a"] }
      europe-west1    = { id = 2, cidr = "10.20.0.0/24", zones = ["europe-west1-b"] }
      asia-southeast1 = { id = 3, cidr = "10.30.0.0/24", zones = ["asia-southeast1-a"] }
      europe-west4    = { id = 4, cidr = "10.40.0.0/24", zones = ["europe-west4-a"] }
    }
  }
  assert {
    condition     = length(output.resp_endpoint) == 4 && output.region_ids["europe-west4"] == 4
    error_message = "The fourth region is there."
  }
  assert {
    condition     = length(split(",", module.region["europe-west4"].environment["CARTOGRAPH_PEERS"])) == 3
    error_message = "It knows the three others."
  }
}

run "settings_reach_the_node" {
  variables {
    name = "shop"
    regions = {
      europe-west1 = {
        id       = 7
        cidr     = "10.20.0.0/24"
        zones    = ["europe-west1-b"]
        settings = { CARTOGRAPH_LIMITS_LOG_BYTES_MAX = "1073741824" }
        store    = { append_fsync = "EVERYSEC" }
      }
    }
  }
  assert {
    condition     = module.region["europe-west1"].environment["CARTOGRAPH_LIMITS_LOG_BYTES_MAX"] == "1073741824"
    error_message = "A setting of the region is one of its node."
  }
  assert {
    condition     = module.region["europe-west1"].environment["CARTOGRAPH_CLUSTER_NAME"] == "shop"
    error_message = "The cluster is named as everything else."
  }
  assert {
    condition     = module.region["europe-west1"].environment["CARTOGRAPH_STORE_DURABILITY"] == "process"
    error_message = "With a file that is synced every second only, nothing more may be claimed."
  }
}

run "a_global_address" {
  variables {
    public = { domain = "carts.example.com", client_cidrs = ["198.51.100.0/24"] }
  }
  assert {
    condition     = output.public_address == "203.0.113.7" && output.public_url == "https://carts.example.com"
    error_message = "The address, and the URL."
  }
}

run "alerts_and_dashboard" {
  assert {
    condition     = contains(keys(output.alerts), "CartographReplicationLag") && length(output.alerts) >= 12
    error_message = "Every rule of deploy/prometheus/alerts.yaml becomes a policy."
  }
  assert {
    condition     = alltrue([for url in values(module.observability.runbooks) : can(regex("/docs/operating/alerts\\.md#cartograph[a-z]+$", url))])
    error_message = "Each alert links its page."
  }
  assert {
    condition     = module.observability.tiles >= 25
    error_message = "The dashboard has Grafana's panels."
  }
}

run "certificate_authority_service" {
  variables {
    certificate_authority = { kind = "cas", location = "europe-west1", issuers = ["group:platform@example.com"] }
  }
  assert {
    condition     = strcontains(output.certificate_commands["europe-west1"], "--issuer-pool cartograph-peers") && strcontains(output.certificate_commands["europe-west1"], "--dns-san europe-west1 ")
    error_message = "A certificate names its region: ${output.certificate_commands["europe-west1"]}"
  }
}
