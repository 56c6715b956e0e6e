output "resp_endpoint" {
  description = "Where Redis clients connect in each region, privately."
  value       = { for name in keys(var.regions) : name => "${module.ingress.region_names[name]}:${local.ports.resp}" }
}

output "http_endpoint" {
  description = "Where HTTP clients, and the `cartograph` command, connect in each region, privately."
  value       = { for name in keys(var.regions) : name => "http://${module.ingress.region_names[name]}:${local.ports.http}" }
}

output "grpc_endpoint" {
  description = "Where gRPC clients connect in each region, privately."
  value       = { for name in keys(var.regions) : name => "${module.ingress.region_names[name]}:${local.ports.grpc}" }
}

output "peer_endpoint" {
  description = "Where each region is dialled by the others."
  value       = { for name in keys(var.regions) : name => module.region[name].peer_url }
}

output "store_endpoint" {
  description = "Each region's store. For the region's own node only."
  value       = { for name in keys(var.regions) : name => module.region[name].store_address }
}

output "region_ids" {
  description = "Each region's id; add a region's to `retired_region_ids` when it is gone."
  value       = { for name, region in var.regions : name => region.id }
}

output "nearest" {
  description = "The private name that leads to the nearest region that is ready, by door."
  value = {
    http = "http://${module.ingress.private_name}:${local.ports.http}"
    resp = "${module.ingress.private_name}:${local.ports.resp}"
    grpc = "${module.ingress.private_name}:${local.ports.grpc}"
  }
}

output "public_address" {
  description = "The global address; point the domain's A record at it."
  value       = module.ingress.public_address
}

output "public_url" {
  description = "Where the world comes in."
  value       = module.ingress.public_url
}

output "certificate_commands" {
  description = "How to put a region's certificate where its node finds it, by region. Run it before the first start, and to rotate."
  value = {
    for name in keys(var.regions) : name => join("\n", var.certificate_authority.kind == "cas" ? [
      "gcloud privateca certificates create --project ${var.project_id} --issuer-location ${var.certificate_authority.location} --issuer-pool ${module.security.ca_pool} --generate-key --key-output-file ${name}.key --cert-output-file ${name}.crt --dns-san ${name} --validity P90D",
      "cat ${name}.crt ${name}.key | gcloud secrets versions add ${module.security.identity_secrets[name]} --project ${var.project_id} --data-file=-",
      ] : [
      "cat ${name}.crt ${name}.key | gcloud secrets versions add ${module.security.identity_secrets[name]} --project ${var.project_id} --data-file=-",
      "gcloud secrets versions add ${module.security.ca_secret} --project ${var.project_id} --data-file=ca.crt   # once for all regions",
    ])
  }
}

output "peer_commands" {
  description = "How to tell a running region of every other one, by region: needed at the regions that were there before a new one."
  value = {
    for name in keys(var.regions) : name => [
      for other, region in var.regions :
      "curl -sS -X PUT http://${module.ingress.region_names[name]}:${local.ports.http}/v1/admin/peers/${other} -H 'content-type: application/json' -d '${jsonencode({ id = region.id, address = module.region[other].peer_url })}'"
      if other != name
    ]
  }
}

output "forget_commands" {
  description = "How the remaining regions forget a region that is gone for good, by region. Stop its node first."
  value = {
    for name, region in var.regions :
    name => "curl -sS -X POST http://${module.ingress.region_names[try([for other in keys(var.regions) : other if other != name][0], name)]}:${local.ports.http}/v1/admin/forget/${name}"
  }
}

output "alerts" {
  description = "Query of each alert, by its name."
  value       = module.observability.alerts
}

output "dashboard" {
  description = "The dashboard in Cloud Monitoring."
  value       = module.observability.dashboard
}

output "network" {
  description = "The network, for what is to stand beside the nodes."
  value       = module.network.network
}

output "subnetworks" {
  description = "The subnet of each region."
  value       = module.network.subnetworks
}
