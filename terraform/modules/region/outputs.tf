output "instance_group" {
  description = "The node's group, as a backend of load balancers."
  value       = google_compute_region_instance_group_manager.node.instance_group
}

output "group_manager" {
  description = "Name of the node's managed group."
  value       = google_compute_region_instance_group_manager.node.name
}

output "clients_address" {
  description = "Private address of the doors."
  value       = google_compute_address.door["clients"].address
}

output "clients_rule" {
  description = "Forwarding rule of the doors."
  value       = google_compute_forwarding_rule.door["clients"].id
}

output "peer_url" {
  description = "Where peers dial this region."
  value       = "https://${trimsuffix(google_dns_record_set.peer.name, ".")}:${var.ports.peer}"
}

output "store_address" {
  description = "Address of the store."
  value       = "${local.store_host}:${local.store_port}"
}

output "environment" {
  description = "The node's settings. No secrets are among them."
  value       = local.environment
}
