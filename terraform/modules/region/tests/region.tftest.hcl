# One node, never two, and a store of its own.

mock_provider "google" {
  source = "../../tests/mocks"
}

variables {
  name                   = "shop"
  project_id             = "shop-test"
  region                 = "europe-west1"
  region_id              = 2
  cluster_name           = "shop"
  zones                  = ["europe-west1-b", "europe-west1-c"]
  machine_type           = "n2-standard-2"
  network                = "projects/shop-test/global/networks/shop"
  subnetwork             = "projects/shop-test/regions/europe-west1/subnetworks/shop"
  dns                    = { zone = "shop", name = "cartograph.internal." }
  node_account           = "n2@x"
  store_account          = "s2@x"
  identity_secret        = "shop-peer-identity-europe-west1"
  ca_secret              = "shop-peer-ca"
  peers                  = { us-central1 = 1 }
  ports                  = { http = 7101, resp = 7201, grpc = 7301, peer = 7501 }
  autoheal_delay_seconds = 1800
  deletion_protection    = true
  images                 = { node = "r.example/cartograph:1", store = "r.example/valkey:8", metrics = "r.example/prometheus:2", system = "cos" }
  store = {
    kind         = "memorystore", node_type = "STANDARD_SMALL", replica_count = 1, append_fsync = "ALWAYS"
    machine_type = "n2-highmem-2", disk_gb = 50, memory_mb = 10240
  }
}

run "managed" {
  assert {
    condition = (
      google_compute_region_instance_group_manager.node.target_size == 1 &&
      google_compute_region_instance_group_manager.node.update_policy[0].max_surge_fixed == 0 &&
      google_compute_region_instance_group_manager.node.update_policy[0].replacement_method == "RECREATE"
    )
    error_message = "Never two nodes on one store, not even during an update."
  }
  assert {
    condition     = google_compute_region_instance_group_manager.node.update_policy[0].type == "OPPORTUNISTIC"
    error_message = "Nothing is restarted that was not named."
  }
  assert {
    condition     = google_compute_region_instance_group_manager.node.update_policy[0].max_unavailable_fixed == 2
    error_message = "A regional group wants 0 or at least the number of its zones."
  }
  assert {
    condition     = length(google_compute_region_instance_template.node.network_interface[0].access_config) == 0
    error_message = "No public address."
  }
  assert {
    condition = (
      google_memorystore_instance.store["managed"].mode == "CLUSTER_DISABLED" &&
      google_memorystore_instance.store["managed"].shard_count == 1 &&
      google_memorystore_instance.store["managed"].engine_configs["maxmemory-policy"] == "noeviction" &&
      google_memorystore_instance.store["managed"].persistence_config[0].mode == "AOF"
    )
    error_message = "The store is what a node demands of it."
  }
  assert {
    condition     = length(google_memorystore_instance.store["managed"].cross_instance_replication_config) == 0
    error_message = "Regions replicate among themselves."
  }
  assert {
    condition     = length(google_compute_instance.store) == 0 && output.store_address == "10.0.0.99:6379"
    error_message = "No store but the managed one, at its primary's address."
  }
  assert {
    condition     = google_compute_region_health_check.door["clients"].http_health_check[0].request_path == "/readyz" && google_compute_region_health_check.door["peers"].http_health_check[0].request_path == "/healthz"
    error_message = "Clients need a node that is ready; peers make it so."
  }
  assert {
    condition     = google_dns_record_set.peer.name == "europe-west1.cartograph.internal."
    error_message = "The name that its certificate carries."
  }
}

run "user_data" {
  assert {
    condition     = startswith(local.user_data, "#cloud-config\n") && can(yamldecode(local.user_data))
    error_message = "cloud-init reads YAML."
  }
  assert {
    condition     = strcontains(local.user_data, "CARTOGRAPH_PEERS=us-central1=1@https://us-central1.cartograph.internal:7501\n")
    error_message = "The node's settings are in it."
  }
  assert {
    condition     = strcontains(local.user_data, "--read-only --cap-drop ALL") && strcontains(local.user_data, "--user 10001:10001")
    error_message = "The container may as little as it needs."
  }
  assert {
    condition     = !strcontains(local.user_data, "PRIVATE KEY")
    error_message = "No key in metadata, which everybody on the machine can read."
  }
}

run "replaced_when_named" {
  variables { replace = true }
  assert {
    condition     = google_compute_region_instance_group_manager.node.update_policy[0].type == "PROACTIVE"
    error_message = "The named region takes the change now."
  }
}

run "self_managed" {
  variables {
    store = {
      kind         = "self-managed", node_type = "STANDARD_SMALL", replica_count = 0, append_fsync = "EVERYSEC"
      machine_type = "n2-highmem-2", disk_gb = 50, memory_mb = 10240
    }
  }
  assert {
    condition     = length(google_memorystore_instance.store) == 0 && length(google_compute_instance.store) == 1
    error_message = "A store of our own, and no other."
  }
  assert {
    condition     = length(google_compute_instance.store["own"].network_interface[0].access_config) == 0
    error_message = "No public address."
  }
  assert {
    condition     = strcontains(google_compute_instance.store["own"].metadata["user-data"], "--appendfsync everysec") && strcontains(google_compute_instance.store["own"].metadata["user-data"], "--maxmemory-policy noeviction")
    error_message = "The store is what a node demands of it."
  }
  assert {
    condition     = google_compute_disk.store["own"].zone == "europe-west1-b"
    error_message = "The disk is in the first zone."
  }
}
