output "node_accounts" {
  description = "Service account of the node, by region."
  value       = { for name, account in google_service_account.node : name => account.email }
}

output "store_accounts" {
  description = "Service account of the store, by region with a store of its own."
  value       = { for name, account in google_service_account.store : name => account.email }
}

output "identity_secrets" {
  description = "Secret with certificate chain and key, by region."
  value       = { for name, secret in google_secret_manager_secret.identity : name => secret.secret_id }
}

output "ca_secret" {
  description = "Secret with the authority's certificate."
  value       = google_secret_manager_secret.ca.secret_id
}

output "ca_pool" {
  description = "Certificate Authority Service's pool, where there is one."
  value       = one([for pool in google_privateca_ca_pool.peers : pool.name])
}
