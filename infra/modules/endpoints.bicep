// Private endpoints of the storage account and the key vault, with their DNS zones.
param suffix string
param location string
param tags object
param virtualNetworkId string
param subnetId string
param storageId string
param vaultId string

var targets = [
  { name: 'blob', zone: 'privatelink.blob.${environment().suffixes.storage}', resource: storageId, service: 'blob' }
  { name: 'queue', zone: 'privatelink.queue.${environment().suffixes.storage}', resource: storageId, service: 'queue' }
  { name: 'table', zone: 'privatelink.table.${environment().suffixes.storage}', resource: storageId, service: 'table' }
  { name: 'vault', zone: 'privatelink.vaultcore.azure.net', resource: vaultId, service: 'vault' }
]

resource zones 'Microsoft.Network/privateDnsZones@2020-06-01' = [
  for target in targets: {
    name: target.zone
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2020-06-01' = [
  for (target, index) in targets: {
    parent: zones[index]
    name: 'labelbridge'
    location: 'global'
    properties: { registrationEnabled: false, virtualNetwork: { id: virtualNetworkId } }
  }
]

resource endpoints 'Microsoft.Network/privateEndpoints@2024-01-01' = [
  for target in targets: {
    name: 'pe-${target.name}-${suffix}'
    location: location
    tags: tags
    properties: {
      subnet: { id: subnetId }
      privateLinkServiceConnections: [
        {
          name: target.name
          properties: { privateLinkServiceId: target.resource, groupIds: [target.service] }
        }
      ]
    }
  }
]

resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-01-01' = [
  for (target, index) in targets: {
    parent: endpoints[index]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [{ name: target.name, properties: { privateDnsZoneId: zones[index].id } }]
    }
  }
]
