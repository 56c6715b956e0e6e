# The node: one virtual machine with one container, kept alive by a managed group of size one.
#
# One, because a store has one owner: two nodes on one store would take the shard from each other. The group replaces,
# never adds (no surge), so that there is never a second. See ADR 10.

locals {
  self_managed = var.store.kind == "self-managed"
  primary      = local.self_managed ? null : one(local.primaries)
  store_host   = local.self_managed ? google_compute_address.store["own"].address : local.primary.ip_address
  store_port   = local.self_managed ? 6379 : local.primary.port
  tls          = "/etc/cartograph-peer-tls"
  peers = [
    for name, id in var.peers :
    "${name}=${id}@https://${name}.${trimsuffix(var.dns.name, ".")}:${var.ports.peer}"
  ]
  environment = merge({
    CARTOGRAPH_CLUSTER_NAME   = var.cluster_name
    CARTOGRAPH_REGION_NAME    = var.region
    CARTOGRAPH_REGION_ID      = tostring(var.region_id)
    CARTOGRAPH_PEERS          = join(",", local.peers)
    CARTOGRAPH_HTTP_LISTEN    = "0.0.0.0:${var.ports.http}"
    CARTOGRAPH_RESP_LISTEN    = "0.0.0.0:${var.ports.resp}"
    CARTOGRAPH_GRPC_LISTEN    = "0.0.0.0:${var.ports.grpc}"
    CARTOGRAPH_PEER_LISTEN    = "0.0.0.0:${var.ports.peer}"
    CARTOGRAPH_PEER_TLS_CERT  = "${local.tls}/identity.pem"
    CARTOGRAPH_PEER_TLS_KEY   = "${local.tls}/identity.pem"
    CARTOGRAPH_PEER_TLS_CA    = "${local.tls}/ca.pem"
    CARTOGRAPH_STORE_KIND     = "redis"
    CARTOGRAPH_STORE_URL      = "redis://${local.store_host}:${local.store_port}"
    CARTOGRAPH_LOG_FORMAT     = "json"
    CARTOGRAPH_INSECURE       = "true"
    CARTOGRAPH_PEER_ADVERTISE = "${var.region}.${trimsuffix(var.dns.name, ".")}:${var.ports.peer}"
    # An append-only file that is synced at each write makes an acknowledged one durable without WAITAOF, which managed
    # services may not answer.
    CARTOGRAPH_STORE_DURABILITY          = local.always_synced ? "disk" : "process"
    CARTOGRAPH_STORE_APPENDFSYNC_ALWAYS  = tostring(local.always_synced)
    CARTOGRAPH_LIMITS_REQUEST_TIMEOUT_MS = "5000"
  }, var.settings)
  always_synced = var.store.append_fsync == "ALWAYS"
  image_host    = split("/", var.images.node)[0]
  user_data = templatefile("${path.module}/templates/node.yaml.tftpl", {
    environment     = local.environment
    project_id      = var.project_id
    region          = var.region
    cluster_name    = var.cluster_name
    identity_secret = var.identity_secret
    ca_secret       = var.ca_secret
    image           = var.images.node
    image_host      = local.image_host
    metrics_image   = var.images.metrics
    ports           = var.ports
  })
}

resource "google_compute_health_check" "ready" {
  project             = var.project_id
  name                = "${var.name}-autoheal-${var.region}"
  description         = "Replaces a node that has not been ready for five minutes."
  check_interval_sec  = 10
  timeout_sec         = 5
  healthy_threshold   = 1
  unhealthy_threshold = 30
  http_health_check {
    port         = var.ports.http
    request_path = "/readyz"
  }
}

resource "google_compute_region_instance_template" "node" {
  project        = var.project_id
  region         = var.region
  name_prefix    = "${var.name}-node-"
  description    = "Cartograph node"
  machine_type   = var.machine_type
  can_ip_forward = false
  labels         = var.labels

  disk {
    source_image = var.images.system
    boot         = true
    auto_delete  = true
    disk_type    = "pd-balanced"
    disk_size_gb = 20
    dynamic "disk_encryption_key" {
      for_each = var.kms_key == null ? [] : [var.kms_key]
      content {
        kms_key_self_link = disk_encryption_key.value
      }
    }
  }

  # No access_config: no public address.
  network_interface {
    subnetwork = var.subnetwork
  }

  metadata = {
    user-data                    = local.user_data
    google-logging-enabled       = "true"
    enable-oslogin               = "TRUE"
    block-project-ssh-keys       = "TRUE"
    serial-port-enable           = "FALSE"
    cos-update-strategy          = "update_disabled"
    disable-legacy-endpoints     = "TRUE"
    google-monitoring-enabled    = "false"
    shutdown-script-timeout-secs = "30"
  }

  service_account {
    email  = var.node_account
    scopes = ["cloud-platform"]
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

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_region_instance_group_manager" "node" {
  project                          = var.project_id
  name                             = "${var.name}-${var.region}"
  region                           = var.region
  base_instance_name               = "${var.name}-${var.region_id}"
  distribution_policy_zones        = var.zones
  distribution_policy_target_shape = "ANY"
  target_size                      = 1
  wait_for_instances               = false

  version {
    instance_template = google_compute_region_instance_template.node.self_link
  }

  named_port {
    name = "http"
    port = var.ports.http
  }

  named_port {
    name = "grpc"
    port = var.ports.grpc
  }

  auto_healing_policies {
    health_check      = google_compute_health_check.ready.id
    initial_delay_sec = var.autoheal_delay_seconds
  }

  # The old node ends before the new one begins. Unless it is asked for, nothing is replaced at all: adding a region
  # changes every region's list of peers, and must not restart all of them at once.
  update_policy {
    type                         = var.replace ? "PROACTIVE" : "OPPORTUNISTIC"
    minimal_action               = "REPLACE"
    replacement_method           = "RECREATE"
    instance_redistribution_type = "NONE"
    max_surge_fixed              = 0
    max_unavailable_fixed        = length(var.zones)
  }
}
