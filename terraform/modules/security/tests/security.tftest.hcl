# Who may do what.

mock_provider "google" {}

variables {
  name                  = "shop"
  project_id            = "shop-test"
  certificate_authority = { kind = "own" }
  regions = {
    us-central1  = { id = 1, self_managed = true }
    europe-west1 = { id = 2, self_managed = false }
  }
}

run "least" {
  assert {
    condition     = length(google_service_account.node) == 2 && length(google_service_account.store) == 1
    error_message = "An account a region and role."
  }
  assert {
    condition     = toset([for binding in google_project_iam_member.node : binding.role]) == toset(["roles/logging.logWriter", "roles/monitoring.metricWriter"])
    error_message = "On the project, a node writes logs and metrics, and nothing else."
  }
  assert {
    condition     = google_secret_manager_secret_iam_member.identity["europe-west1"].secret_id == "shop-peer-identity-europe-west1" && length(google_secret_manager_secret_iam_member.identity) == 2
    error_message = "A node reads its own region's key."
  }
  assert {
    condition     = google_secret_manager_secret.identity["europe-west1"].replication[0].user_managed[0].replicas[0].location == "europe-west1"
    error_message = "A region's key stays in its region."
  }
  assert {
    condition     = length(google_secret_manager_secret.ca.replication[0].user_managed[0].replicas) == 2
    error_message = "The authority's certificate is in every region: each must start when all others are gone."
  }
  assert {
    condition     = length(google_privateca_ca_pool.peers) == 0 && length(google_secret_manager_secret_version.identity) == 0
    error_message = "Nothing is signed or stored unless it is asked for."
  }
  assert {
    condition     = length(google_artifact_registry_repository_iam_member.node) == 0
    error_message = "No leave that is not needed."
  }
}

run "given_certificates" {
  variables {
    certificates = { version = 3, ca = "CA", identities = { us-central1 = "ONE", europe-west1 = "TWO" } }
  }
  assert {
    condition     = length(google_secret_manager_secret_version.identity) == 2 && length(google_secret_manager_secret_version.ca) == 1
    error_message = "One version a region, and the authority's."
  }
  assert {
    condition     = google_secret_manager_secret_version.identity["europe-west1"].secret_data == null
    error_message = "The key is write-only: it must not be in the state."
  }
}

run "authority_service" {
  variables {
    certificate_authority = { kind = "cas", location = "europe-west1", issuers = ["group:platform@example.com"] }
  }
  assert {
    condition     = length(google_privateca_ca_pool.peers) == 1 && length(google_privateca_ca_pool_iam_member.issuer) == 1
    error_message = "A pool, and who may ask it."
  }
  assert {
    condition     = google_privateca_ca_pool.peers["pool"].issuance_policy[0].baseline_values[0].ca_options[0].is_ca == false
    error_message = "It never signs another authority."
  }
}
