#!/bin/sh
# Creates the Event Grid subscriptions, which need the deployed functions and the key of the blob trigger's webhook.
# Run by azd after each deployment; running it again changes nothing. Subscriptions to the app that are no longer
# needed, such as for a container removed from the settings, are deleted; others stay.
# Needs the Azure CLI, signed in.
#
#   LOCK_TOMBSTONES=yes   also locks the immutability policy of the tombstones. That cannot be undone, by anyone:
#                         the storage account cannot be deleted before the last tombstone's retention has ended.
set -eu

group=$AZURE_RESOURCE_GROUP
app=$FUNCTION_APP_NAME
url=$FUNCTION_APP_URL
account=$STORAGE_ACCOUNT_NAME
topic=$SYSTEM_TOPIC_NAME
prefix=$TABLE_PREFIX
documents=$DOCUMENTS_CONTAINER
dead_letters="$DEAD_LETTER_ENDPOINT/$prefix-dead-letters"

app_id=$(az functionapp show --resource-group "$group" --name "$app" --query id --output tsv)

key=""
for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do # the key appears when the deployed app has started once
    key=$(az functionapp keys list --resource-group "$group" --name "$app" \
        --query systemKeys.blobs_extension --output tsv 2>/dev/null || true)
    [ -n "$key" ] && break
    sleep 10
done
if [ -z "$key" ]; then
    echo "The function app has no key blobs_extension: its blob trigger did not start. Check the app's log." >&2
    exit 1
fi

made=" "
subscribe() { # NAME ENDPOINT_TYPE ENDPOINT SUBJECT_PREFIX "EVENT_TYPE..." ADVANCED_FILTER...
    name=$1 type=$2 endpoint=$3 begins=$4 types=$5
    shift 5
    # shellcheck disable=SC2086 - the event types are words
    az eventgrid system-topic event-subscription create \
        --resource-group "$group" --system-topic-name "$topic" --name "$name" \
        --endpoint-type "$type" --endpoint "$endpoint" \
        --included-event-types $types \
        --advanced-filter "$@" \
        --subject-begins-with "$begins" \
        --event-delivery-schema eventgridschema \
        --deadletter-identity-endpoint "$dead_letters" --deadletter-identity systemassigned \
        --max-delivery-attempts 30 --event-ttl 1440 \
        --output none
    made="$made$name "
    echo "Event subscription $name: $begins"
}

subscription() { # CONTAINER SUFFIX: a name of at most 64 characters, which differs for each container
    if [ ${#1} -le $((63 - ${#2})) ]; then
        echo "$1-$2"
    else
        sum=$(printf %s "$1" | cksum | cut -d ' ' -f 1)
        echo "$(printf %s "$1" | cut -c "1-$((62 - ${#2} - ${#sum}))")-$sum-$2"
    fi
}

containers="/blobServices/default/containers"
blobs="$url/runtime/webhooks/blobs?functionName=Host.Functions.document_uploaded&code=$key"
events="$app_id/functions/storage_event"

created=Microsoft.Storage.BlobCreated
renamed="Microsoft.Storage.BlobRenamed Microsoft.Storage.DirectoryRenamed"
changed="Microsoft.Storage.BlobDeleted Microsoft.Storage.DirectoryDeleted $renamed"
with_content="data.api StringNotIn CreateFile" # in a hierarchical namespace an empty file is made first

# shellcheck disable=SC2086 - a filter is words
{
    subscribe "$(subscription "$documents" created)" webhook "$blobs" "$containers/$documents/" "$created" $with_content
    subscribe "$(subscription "$documents" changed)" azurefunction "$events" "$containers/$documents/" \
        "$changed" $with_content
    for container in $(echo "${MORE_DOCUMENTS_CONTAINERS:-}" | tr ',' ' '); do
        subscribe "$(subscription "$container" changed)" azurefunction "$events" "$containers/$container/" \
            "$created $changed" $with_content
    done
}
suffix=$(az cloud show --query suffixes.storageEndpoint --output tsv)
# A rename into a container that nobody subscribed to: the subject of its event names only where the blob is now.
for container in "$documents" $(echo "${MORE_DOCUMENTS_CONTAINERS:-}" | tr ',' ' '); do
    subscribe "$(subscription "$container" moved)" azurefunction "$events" "$containers/" "$renamed" \
        data.sourceUrl StringContains ".dfs.$suffix/$container/"
done

ours="starts_with(destination.endpointBaseUrl || '', '$url/') ||
    contains(destination.resourceId || '', '/sites/$app/functions/')"
for name in $(az eventgrid system-topic event-subscription list --resource-group "$group" --system-topic-name "$topic" \
    --query "[?$ours].name" --output tsv); do
    case "$made" in *" $name "*) continue ;; esac
    az eventgrid system-topic event-subscription delete --resource-group "$group" --system-topic-name "$topic" \
        --name "$name" --yes --output none
    echo "Event subscription $name: deleted, no container of the settings needs it"
done

policy() { # PROPERTY: of the immutability policy of the tombstones
    az storage container immutability-policy show --resource-group "$group" --account-name "$account" \
        --container-name "$prefix-tombstones" --query "$1" --output tsv
}

if [ "${LOCK_TOMBSTONES:-no}" = yes ]; then
    state=$(policy state)
    if [ "$state" != Locked ]; then # a locked policy cannot be locked again
        etag=$(policy etag)
        az storage container immutability-policy lock --resource-group "$group" --account-name "$account" \
            --container-name "$prefix-tombstones" --if-match "$etag" --output none
    fi
    echo "The immutability policy of $prefix-tombstones is locked. Before the next azd up, run:"
    echo "azd env set TOMBSTONES_LOCKED true"
fi
