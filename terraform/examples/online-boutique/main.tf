# Google's Online Boutique in two regions, with one cart for both: a GKE Autopilot cluster a region runs the shop, and
# its frontend and checkout use Cartograph's gRPC door in place of their cart service. See docs/operating/online-boutique.md.

locals {
  # Pods have addresses of their own; the doors must know them.
  pods = {
    us-central1  = "10.110.0.0/18"
    europe-west1 = "10.120.0.0/18"
  }
}

variable "project_id" {
  description = "The project."
  type        = string
}

variable "image" {
  description = "Image of the node, in a registry of yours."
  type        = string
}

variable "operator_cidrs" {
  description = "Ranges from which kubectl may reach the clusters."
  type        = list(string)
}

provider "google" {
  project = var.project_id
}

module "cartograph" {
  source = "../.."

  project_id = var.project_id
  name       = "boutique"
  image      = var.image
  regions = {
    us-central1  = { id = 1, cidr = "10.10.0.0/24", zones = ["us-central1-a", "us-central1-b"] }
    europe-west1 = { id = 2, cidr = "10.20.0.0/24", zones = ["europe-west1-b", "europe-west1-c"] }
  }
  internal_client_cidrs = values(local.pods)
}

resource "google_compute_subnetwork" "shop" {
  for_each = local.pods

  project                  = var.project_id
  name                     = "boutique-shop-${each.key}"
  region                   = each.key
  network                  = module.cartograph.network
  ip_cidr_range            = each.key == "us-central1" ? "10.11.0.0/22" : "10.21.0.0/22"
  private_ip_google_access = true
  secondary_ip_range {
    range_name    = "pods"
    ip_cidr_range = each.value
  }
  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

resource "google_container_cluster" "shop" {
  #checkov:skip=CKV_GCP_12:Autopilot always enforces network policies, and takes no such setting
  #checkov:skip=CKV_GCP_61:Autopilot always has intranode visibility, and takes no such setting
  #checkov:skip=CKV_GCP_69:Autopilot always has the metadata server, and takes no such setting
  #checkov:skip=CKV_GCP_65:needs a Google group of the reader's own organisation
  #checkov:skip=CKV_GCP_66:Online Boutique's public images carry no attestations
  for_each = local.pods

  project             = var.project_id
  name                = "boutique-${each.key}"
  location            = each.key
  enable_autopilot    = true
  network             = module.cartograph.network
  subnetwork          = google_compute_subnetwork.shop[each.key].id
  deletion_protection = true
  resource_labels     = { app = "online-boutique" }

  ip_allocation_policy {
    cluster_secondary_range_name = "pods"
  }
  private_cluster_config {
    enable_private_nodes    = true
    enable_private_endpoint = false
    master_ipv4_cidr_block  = each.key == "us-central1" ? "172.16.0.0/28" : "172.16.0.16/28"
  }
  master_authorized_networks_config {
    dynamic "cidr_blocks" {
      for_each = var.operator_cidrs
      content {
        cidr_block = cidr_blocks.value
      }
    }
  }
  release_channel {
    channel = "REGULAR"
  }
  master_auth {
    client_certificate_config {
      issue_client_certificate = false
    }
  }
}

output "commands" {
  description = "How to put the shop into each region's cluster, over Cartograph's doors of that region."
  value = {
    for name in keys(local.pods) : name => [
      "gcloud container clusters get-credentials boutique-${name} --region ${name} --project ${var.project_id}",
      "kubectl create configmap cartograph --from-literal=address=${module.cartograph.grpc_endpoint[name]} --dry-run=client -o yaml | kubectl apply -f -",
      "kubectl apply -k deploy/online-boutique/external",
    ]
  }
}
