#!/bin/sh
# Make the metastore's tables where they are missing, then become the metastore; natively and in its container.
set -eu
java="$JAVA_HOME/bin/java -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
export CLASSPATH="$(dirname "$0"):$METASTORE_JARS/*"
# Hive's scripts for it are not among the packages. Left to the metastore itself, tables are made when they are first
# needed, and one of them waits for the transaction that needs it.
$java org.datanucleus.store.schema.SchemaTool -create -api JDO -props /dev/stdin package.jdo <<END
datanucleus.ConnectionDriverName=org.postgresql.Driver
datanucleus.ConnectionURL=$METASTORE_DATABASE_URL
datanucleus.ConnectionUserName=metastore
datanucleus.ConnectionPassword=$METASTORE_DB_PASSWORD
datanucleus.identifierFactory=datanucleus1
datanucleus.rdbms.useLegacyNativeValueStrategy=true
datanucleus.schema.autoCreateAll=true
END
exec $java -Xms64m -Xmx256m -XX:+ExitOnOutOfMemoryError \
  --enable-native-access=ALL-UNNAMED --sun-misc-unsafe-memory-access=allow \
  org.apache.hadoop.hive.metastore.HiveMetaStore
