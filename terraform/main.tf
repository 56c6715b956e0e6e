# Cartograph on Google Cloud: n regions that keep carts in agreement.
#
#   security       who may do what; secrets with certificates
#   network        one global network, a subnet a region, firewall, private names
#   region  x n    a node, its store, its private addresses
#   ingress        one name for all regions, privately and (if wanted) publicly
#   observability  dashboard and alerts
#
# `regions` decides everything. What differs between regions is in that map; what they share is a variable of its own.

locals {
  ports  = { http = 7101, resp = 7201, grpc = 7301, peer = 7501 }
  labels = merge({ app = "cartograph", cluster = var.name }, var.labels)
  apis = [
    "artifactregistry", "certificatemanager", "compute", "dns", "iam", "logging", "memorystore", "monitoring",
    "networkconnectivity", "privateca", "secretmanager", "serviceconsumermanagement",
  ]
}

resource "google_project_service" "api" {
  for_each = var.enable_apis ? toset(local.apis) : []

  project            = var.project_id
  service            = "${each.value}.googleapis.com"
  disable_on_destroy = false
}

module "security" {
  source = "./modules/security"

  name       = var.name
  project_id = var.project_id
  regions = {
    for name, region in var.regions : name => { id = region.id, self_managed = region.store.kind == "self-managed" }
  }
  artifact_repository   = var.artifact_repository
  certificate_authority = var.certificate_authority
  certificates          = var.certificates
  kms_keys              = var.kms_keys
  labels                = local.labels

  depends_on = [google_project_service.api]
}

module "network" {
  source = "./modules/network"

  name       = var.name
  project_id = var.project_id
  regions = {
    for name, region in var.regions : name => {
      cidr          = region.cidr
      node_account  = module.security.node_accounts[name]
      self_managed  = region.store.kind == "self-managed"
      store_account = region.store.kind == "self-managed" ? module.security.store_accounts[name] : null
    }
  }
  ports           = local.ports
  dns_name        = var.dns_name
  client_cidrs    = concat([for region in var.regions : region.cidr], var.internal_client_cidrs)
  client_networks = var.client_networks
  partition       = var.partition
  labels          = local.labels

  depends_on = [google_project_service.api]
}

module "region" {
  source   = "./modules/region"
  for_each = var.regions

  name            = var.name
  project_id      = var.project_id
  region          = each.key
  region_id       = each.value.id
  cluster_name    = var.name
  zones           = each.value.zones
  machine_type    = each.value.machine_type
  store           = each.value.store
  network         = module.network.network
  subnetwork      = module.network.subnetworks[each.key]
  dns             = { zone = module.network.zone, name = var.dns_name }
  node_account    = module.security.node_accounts[each.key]
  store_account   = lookup(module.security.store_accounts, each.key, null)
  identity_secret = module.security.identity_secrets[each.key]
  ca_secret       = module.security.ca_secret
  images = {
    node    = var.image
    store   = var.other_images.store
    metrics = var.other_images.metrics
    system  = var.other_images.system
  }
  peers                  = { for name, region in var.regions : name => region.id if name != each.key }
  ports                  = local.ports
  settings               = each.value.settings
  replace                = contains(var.replace, each.key)
  autoheal_delay_seconds = var.autoheal_delay_seconds
  deletion_protection    = var.deletion_protection
  kms_key                = lookup(var.kms_keys, each.key, null)
  labels                 = local.labels
}

module "ingress" {
  source = "./modules/ingress"

  name       = var.name
  project_id = var.project_id
  network    = module.network.network
  regions = {
    for name, region in var.regions : name => {
      instance_group  = module.region[name].instance_group
      clients_address = module.region[name].clients_address
      serving         = region.serving
    }
  }
  ports  = local.ports
  dns    = { zone = module.network.zone, name = var.dns_name }
  public = var.public
  labels = local.labels
}

module "observability" {
  source = "./modules/observability"

  name                = var.name
  project_id          = var.project_id
  alert_rules_file    = "${path.module}/../deploy/prometheus/alerts.yaml"
  dashboard_file      = "${path.module}/../deploy/grafana/dashboards/cartograph.json"
  runbook_base_url    = var.runbook_base_url
  notification_emails = var.notification_emails
  public_domain       = try(var.public.domain, null)
  labels              = local.labels

  depends_on = [google_project_service.api]
}
