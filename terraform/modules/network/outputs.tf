output "network" {
  description = "The network."
  value       = google_compute_network.main.id
}

output "subnetworks" {
  description = "Subnet, by region."
  value       = { for name, subnetwork in google_compute_subnetwork.region : name => subnetwork.id }
}

output "zone" {
  description = "Name of the private zone."
  value       = google_dns_managed_zone.private.name
}
