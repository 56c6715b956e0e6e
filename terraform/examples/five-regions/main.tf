# Five regions on four continents, no public address: applications connect privately, to the nearest. Two regions show
# what may differ: Sao Paulo runs its own Valkey (no Memorystore plan fits), Sydney is about to leave.

variable "project_id" {
  description = "The project."
  type        = string
}

variable "image" {
  description = "Image of the node, in a registry of yours."
  type        = string
}

provider "google" {
  project = var.project_id
}

module "cartograph" {
  source = "../.."

  project_id = var.project_id
  name       = "shop"
  image      = var.image
  regions = {
    us-central1        = { id = 1, cidr = "10.10.0.0/24", zones = ["us-central1-a", "us-central1-b"], machine_type = "c3-standard-4" }
    europe-west1       = { id = 2, cidr = "10.20.0.0/24", zones = ["europe-west1-b", "europe-west1-c"], machine_type = "c3-standard-4" }
    asia-southeast1    = { id = 3, cidr = "10.30.0.0/24", zones = ["asia-southeast1-a", "asia-southeast1-b"] }
    southamerica-east1 = { id = 4, cidr = "10.40.0.0/24", zones = ["southamerica-east1-a"], store = { kind = "self-managed" } }
    # No clients any more: the next steps are in docs/operating/google-cloud.md.
    australia-southeast1 = { id = 5, cidr = "10.50.0.0/24", zones = ["australia-southeast1-a"], serving = false }
  }
  # europe-west4 was id 6 once.
  retired_region_ids = [6]
}

output "resp_endpoint" {
  description = "Where Redis clients connect in each region."
  value       = module.cartograph.resp_endpoint
}

output "nearest" {
  description = "Where they connect to the nearest."
  value       = module.cartograph.nearest
}
