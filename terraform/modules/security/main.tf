# Who may do what, and the secrets of links between regions.
#
# A service account a region and role, because a node may read its own region's certificate and no other's. Rights are
# given on single resources; only writing logs and metrics is a right on the project, which has no narrower form.

locals {
  # Whether certificates are given is no secret; what is in them is.
  stores_certificates = nonsensitive(var.certificates != null)
  self_managed        = { for name, region in var.regions : name => region if region.self_managed }
  with_authority      = var.certificate_authority.kind == "cas" ? { pool = true } : {}
}

resource "google_service_account" "node" {
  for_each = var.regions

  project      = var.project_id
  account_id   = "${var.name}-node-${each.value.id}"
  display_name = "Cartograph node in ${each.key}"
}

resource "google_service_account" "store" {
  for_each = local.self_managed

  project      = var.project_id
  account_id   = "${var.name}-store-${each.value.id}"
  display_name = "Valkey of Cartograph in ${each.key}"
}

resource "google_project_iam_member" "node" {
  for_each = {
    for pair in setproduct(keys(var.regions), ["roles/logging.logWriter", "roles/monitoring.metricWriter"]) :
    "${pair[0]} ${pair[1]}" => { region = pair[0], role = pair[1] }
  }

  project = var.project_id
  role    = each.value.role
  member  = google_service_account.node[each.value.region].member
}

resource "google_project_iam_member" "store" {
  for_each = local.self_managed

  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = google_service_account.store[each.key].member
}

resource "google_artifact_registry_repository_iam_member" "node" {
  for_each = var.artifact_repository == null ? {} : var.regions

  project    = var.artifact_repository.project
  location   = var.artifact_repository.location
  repository = var.artifact_repository.name
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.node[each.key].member
}

# One PEM file with certificate chain and key, so that a rotation is one new version and never half of one.
resource "google_secret_manager_secret" "identity" {
  for_each = var.regions

  project   = var.project_id
  secret_id = "${var.name}-peer-identity-${each.key}"
  labels    = var.labels
  replication {
    user_managed {
      replicas {
        location = each.key
        dynamic "customer_managed_encryption" {
          for_each = contains(keys(var.kms_keys), each.key) ? [var.kms_keys[each.key]] : []
          content {
            kms_key_name = customer_managed_encryption.value
          }
        }
      }
    }
  }
}

# In every region: a region must start when all others are gone.
resource "google_secret_manager_secret" "ca" {
  project   = var.project_id
  secret_id = "${var.name}-peer-ca"
  labels    = var.labels
  replication {
    user_managed {
      dynamic "replicas" {
        for_each = var.regions
        content {
          location = replicas.key
          dynamic "customer_managed_encryption" {
            for_each = contains(keys(var.kms_keys), replicas.key) ? [var.kms_keys[replicas.key]] : []
            content {
              kms_key_name = customer_managed_encryption.value
            }
          }
        }
      }
    }
  }
}

resource "google_secret_manager_secret_iam_member" "identity" {
  for_each = var.regions

  project   = var.project_id
  secret_id = google_secret_manager_secret.identity[each.key].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.node[each.key].member
}

resource "google_secret_manager_secret_iam_member" "ca" {
  for_each = var.regions

  project   = var.project_id
  secret_id = google_secret_manager_secret.ca.secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.node[each.key].member
}

# Write-only: neither the plan nor the state ever holds a key. A new `version` writes them again.
resource "google_secret_manager_secret_version" "identity" {
  for_each = local.stores_certificates ? var.regions : {}

  secret                 = google_secret_manager_secret.identity[each.key].id
  secret_data_wo         = var.certificates.identities[each.key]
  secret_data_wo_version = var.certificates.version
}

resource "google_secret_manager_secret_version" "ca" {
  for_each = local.stores_certificates ? { given = true } : {}

  secret                 = google_secret_manager_secret.ca.id
  secret_data_wo         = var.certificates.ca
  secret_data_wo_version = var.certificates.version
}

# Certificate Authority Service, where it is wanted. It signs; keys are made where the certificates are asked for.
resource "google_privateca_ca_pool" "peers" {
  for_each = local.with_authority

  project  = var.project_id
  name     = "${var.name}-peers"
  location = var.certificate_authority.location
  tier     = "DEVOPS"
  labels   = var.labels
  publishing_options {
    publish_ca_cert = true
    publish_crl     = false
  }
  issuance_policy {
    # Ninety days: rotation is a habit, not an event.
    maximum_lifetime = "7776000s"
    baseline_values {
      ca_options {
        is_ca = false
      }
      key_usage {
        base_key_usage {
          digital_signature = true
        }
        extended_key_usage {
          client_auth = true
          server_auth = true
        }
      }
    }
  }
}

resource "google_privateca_certificate_authority" "peers" {
  for_each = local.with_authority

  project                  = var.project_id
  pool                     = google_privateca_ca_pool.peers[each.key].name
  location                 = var.certificate_authority.location
  certificate_authority_id = "${var.name}-peers"
  type                     = "SELF_SIGNED"
  lifetime                 = "315360000s"
  deletion_protection      = true
  labels                   = var.labels
  config {
    subject_config {
      subject {
        organization = "Cartograph"
        common_name  = "${var.name} peers"
      }
    }
    x509_config {
      ca_options {
        is_ca                  = true
        max_issuer_path_length = 0
      }
      key_usage {
        base_key_usage {
          cert_sign = true
          crl_sign  = true
        }
        extended_key_usage {
          client_auth = true
          server_auth = true
        }
      }
    }
  }
  key_spec {
    algorithm = "EC_P256_SHA256"
  }
}

resource "google_secret_manager_secret_version" "authority" {
  for_each = local.stores_certificates ? {} : local.with_authority

  secret      = google_secret_manager_secret.ca.id
  secret_data = join("", google_privateca_certificate_authority.peers[each.key].pem_ca_certificates)
}

resource "google_privateca_ca_pool_iam_member" "issuer" {
  for_each = length(local.with_authority) == 0 ? [] : toset(var.certificate_authority.issuers)

  project  = var.project_id
  location = var.certificate_authority.location
  ca_pool  = google_privateca_ca_pool.peers["pool"].name
  role     = "roles/privateca.certificateRequester"
  member   = each.value
}
