output "private_name" {
  description = "The private name that leads to the nearest region that is ready."
  value       = trimsuffix(google_dns_record_set.doors.name, ".")
}

output "region_names" {
  description = "Private name of each region's doors."
  value       = { for name, record in google_dns_record_set.region : name => trimsuffix(record.name, ".") }
}

output "public_address" {
  description = "The global address: point the domain's A record at it."
  value       = one([for address in google_compute_global_address.public : address.address])
}

output "public_url" {
  description = "Where the world comes in."
  value       = var.public == null ? null : "https://${var.public.domain}"
}
