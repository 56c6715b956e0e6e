# The store: Memorystore for Valkey by default, a Valkey on a machine of ours otherwise. Never both, never shared.

locals {
  memorystore = local.self_managed ? {} : { managed = true }
  own         = local.self_managed ? { own = true } : {}
  primaries = local.self_managed ? [] : [
    for connection in flatten([
      for endpoint in google_memorystore_instance.store["managed"].endpoints : [
        for connection in endpoint.connections : connection.psc_auto_connection
      ]
    ]) : connection if connection.connection_type == "CONNECTION_TYPE_PRIMARY"
  ]
}

resource "google_network_connectivity_service_connection_policy" "store" {
  for_each = local.memorystore

  project       = var.project_id
  name          = "${var.name}-${var.region}"
  location      = var.region
  service_class = "gcp-memorystore"
  network       = var.network
  labels        = var.labels
  psc_config {
    subnetworks = [var.subnetwork]
  }
}

resource "google_memorystore_instance" "store" {
  for_each = local.memorystore

  project     = var.project_id
  instance_id = "${var.name}-${var.region}"
  location    = var.region
  # A commit is one script over several keys: a cluster could not run it.
  mode           = "CLUSTER_DISABLED"
  shard_count    = 1
  replica_count  = var.store.replica_count
  node_type      = var.store.node_type
  engine_version = "VALKEY_8_0"
  # Regions replicate among themselves; Memorystore's own replication between instances must never be on.
  engine_configs = {
    maxmemory-policy = "noeviction"
  }
  # The node speaks to its store without TLS and without tokens; the network's firewall lets nobody else near it.
  authorization_mode          = "AUTH_DISABLED"
  transit_encryption_mode     = "TRANSIT_ENCRYPTION_DISABLED"
  deletion_protection_enabled = var.deletion_protection
  kms_key                     = var.kms_key
  labels                      = var.labels

  persistence_config {
    mode = "AOF"
    aof_config {
      append_fsync = var.store.append_fsync
    }
  }

  zone_distribution_config {
    mode = "MULTI_ZONE"
  }

  desired_auto_created_endpoints {
    network    = var.network
    project_id = var.project_id
  }

  depends_on = [google_network_connectivity_service_connection_policy.store]
}

resource "google_compute_address" "store" {
  for_each = local.own

  project      = var.project_id
  name         = "${var.name}-store-${var.region}"
  region       = var.region
  address_type = "INTERNAL"
  subnetwork   = var.subnetwork
}

# Data. It outlives every machine; the machine's own protection keeps Terraform from destroying it, because what holds a
# disk goes before the disk.
resource "google_compute_disk" "store" {
  for_each = local.own

  project = var.project_id
  name    = "${var.name}-store-${var.region}"
  zone    = var.zones[0]
  type    = "pd-ssd"
  size    = var.store.disk_gb
  labels  = var.labels
  dynamic "disk_encryption_key" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      kms_key_self_link = disk_encryption_key.value
    }
  }
}

resource "google_compute_instance" "store" {
  for_each = local.own

  project                   = var.project_id
  name                      = "${var.name}-store-${var.region}"
  zone                      = var.zones[0]
  machine_type              = var.store.machine_type
  description               = "Valkey of Cartograph in ${var.region}"
  can_ip_forward            = false
  deletion_protection       = var.deletion_protection
  allow_stopping_for_update = true
  labels                    = var.labels

  boot_disk {
    kms_key_self_link = var.kms_key
    initialize_params {
      image = var.images.system
      size  = 20
      type  = "pd-balanced"
    }
  }

  attached_disk {
    source            = google_compute_disk.store["own"].id
    device_name       = "store"
    kms_key_self_link = var.kms_key
  }

  network_interface {
    subnetwork = var.subnetwork
    network_ip = google_compute_address.store["own"].address
  }

  metadata = {
    user-data = templatefile("${path.module}/templates/store.yaml.tftpl", {
      image        = var.images.store
      memory_mb    = var.store.memory_mb
      append_fsync = var.store.append_fsync == "ALWAYS" ? "always" : "everysec"
    })
    google-logging-enabled   = "true"
    enable-oslogin           = "TRUE"
    block-project-ssh-keys   = "TRUE"
    serial-port-enable       = "FALSE"
    disable-legacy-endpoints = "TRUE"
  }

  service_account {
    email  = var.store_account
    scopes = ["https://www.googleapis.com/auth/logging.write"]
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  scheduling {
    automatic_restart   = true
    on_host_maintenance = "MIGRATE"
  }
}
