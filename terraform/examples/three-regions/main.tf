# Three regions, one global address for the storefronts of 198.51.100.0/24: the shape of the demo, for real.

variable "project_id" {
  description = "The project."
  type        = string
}

variable "image" {
  description = "Image of the node, in a registry of yours."
  type        = string
}

variable "domain" {
  description = "Domain of the global address."
  type        = string
}

variable "oncall" {
  description = "Who is told of alerts."
  type        = string
}

variable "replace" {
  description = "The region whose node this run may replace."
  type        = set(string)
  default     = []
}

variable "partition" {
  description = "Links to cut, on chaos days."
  type        = list(object({ from = string, to = string }))
  default     = []
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
    us-central1     = { id = 1, cidr = "10.10.0.0/24", zones = ["us-central1-a", "us-central1-b", "us-central1-f"] }
    europe-west1    = { id = 2, cidr = "10.20.0.0/24", zones = ["europe-west1-b", "europe-west1-c", "europe-west1-d"] }
    asia-southeast1 = { id = 3, cidr = "10.30.0.0/24", zones = ["asia-southeast1-a", "asia-southeast1-b", "asia-southeast1-c"] }
  }
  public = {
    domain       = var.domain
    client_cidrs = ["198.51.100.0/24"]
  }
  certificate_authority = { kind = "cas", location = "europe-west1" }
  notification_emails   = [var.oncall]
  replace               = var.replace
  partition             = var.partition
}

output "cartograph" {
  description = "Everything that the next command needs, by region."
  value       = module.cartograph
}
